"""``lam-export web``: what it refuses, before anything is downloaded."""

from pathlib import Path

import pytest
from commands import refusal

import lam_export
from lam_engines.errors import LamError


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")


def test_a_bundle_without_an_int8_graph(tiny_bundle: Path, tmp_path: Path) -> None:
    said = refusal("web", tiny_bundle, "-o", tmp_path / "site")
    assert "expected model.int8.onnx" in said
    assert "--precision int8" in said
    assert not (tmp_path / "site").exists()


def test_a_folder_of_something_else_is_not_replaced(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/mine.txt").touch()
    said = refusal("web", tiny_bundle, "-o", tmp_path / "site", "--force")
    assert "is no site of lam-export web; it is not replaced, choose another place: -o SITE" in said


def test_a_memory_is_refused(tiny_memory: Path, tmp_path: Path) -> None:
    with pytest.raises(LamError, match="expected the bundle of an encoder"):
        lam_export.build_site(str(tiny_memory), str(tmp_path / "site"))
