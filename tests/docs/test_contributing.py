"""What CONTRIBUTING.md shows works: the two files of its runtime, and the hooks."""

import re
from pathlib import Path

import numpy as np
import pytest
from commands import lam_export_process
from pages import ROOT, blocks

from lam_engines.embedding.engine import EmbeddingEngine

PLACE = "engines/lam_engines/runtimes/"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A main program in which the page's runtime lies beside the others."""
    folder = tmp_path_factory.mktemp("runtimes")
    for block in blocks(ROOT / "CONTRIBUTING.md"):
        if block.language == "python":
            named = re.match(rf"# {PLACE}(\S+)\n", block.code)
            assert named, "the first line of a file to add says where it goes"
            path = folder / named[1]
            path.parent.mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(block.code, encoding="utf-8")
    assert [path.name for path in folder.iterdir()] == ["plain"]
    return (
        f"import sys, lam_engines.runtimes; lam_engines.runtimes.__path__.append({str(folder)!r}); "
        "sys.argv[0] = 'lam-export'; from lam_export.cli import main; main()"
    )


def test_its_embeddings(code: str, tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path) -> None:
    texts = ["the red dog", "", "a big house by the water"]
    arguments = ("embed", tiny_bundle, *texts, "--engine", "plain", "-o", tmp_path / "found.npy")
    result = lam_export_process(*arguments, code=code)
    assert result.returncode == 0, result.stderr
    assert np.load(tmp_path / "found.npy") == pytest.approx(tiny_engine.embed(texts), abs=1e-5)


@pytest.mark.heavy
def test_its_proof(code: str, tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    arguments = ("validate", tiny_bundle, "--checkpoint", tiny_checkpoint_folder, "--engine", "plain")
    result = lam_export_process(*arguments, code=code)
    assert result.returncode == 0, result.stderr
    assert "ONNX Runtime, not optimised" in result.stdout or "plain" in result.stdout


def test_hooks_are_the_tools_of_the_check() -> None:
    yaml = pytest.importorskip("yaml")
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert local["repo"] == "local", "nothing is fetched"
    called = {tuple(hook["entry"].removeprefix(".venv/bin/").split()[:2]) for hook in local["hooks"]}
    check = (ROOT / "scripts" / "check").read_text(encoding="utf-8")
    assert called == {("ruff", "check"), ("ruff", "format"), ("mypy",), ("pytest", "tests/test_architecture.py")}
    assert all(" ".join(words) in check for words in called)
