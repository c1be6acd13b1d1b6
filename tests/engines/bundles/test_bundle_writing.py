"""Bundles that are written: whole or not at all, and never over anything else."""

import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import FILES, check_with_sha256sum, graph, manifest_of, read_all, refusal, write

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.whole import check_place
from lam_engines.bundles.writing import BUNDLE, write_bundle
from lam_engines.contract import CHECKSUMS, MANIFEST
from lam_engines.errors import BundleError

NEW = {"model.onnx": graph(b"a better graph"), "tokenizer.json": b"another tokenizer"}


def test_sha256sum_checks_a_bundle(tmp_path: Path) -> None:
    names = ["model.onnx", "reports of tests/é 東.html", " a name", "*", "#", "engines/a.plan", "empty"]
    bundle = write(tmp_path / "bundle", {name: name.encode() * (name != "empty") for name in names})
    listed = [line[66:] for line in (bundle / CHECKSUMS).read_text(encoding="utf-8").splitlines()]
    assert listed == sorted([*names, MANIFEST])
    check_with_sha256sum(bundle)
    written = subprocess.run(["sha256sum", "--", *listed], capture_output=True, cwd=bundle, check=True)
    assert (bundle / CHECKSUMS).read_bytes() == written.stdout  # and it would have written the same
    (bundle / "engines" / "a.plan").write_bytes(b"another plan")
    with pytest.raises(AssertionError, match=r"engines/a\.plan: FAILED"):
        check_with_sha256sum(bundle)


@pytest.mark.parametrize("name", [MANIFEST, CHECKSUMS, "manifest.next.json"])
def test_a_name_that_every_bundle_uses_is_taken(tmp_path: Path, name: str) -> None:
    message = refusal(lambda: write(tmp_path / "bundle", {**FILES, name: b"another"}))
    assert f"the name {name} is reserved in every bundle" in message
    assert os.listdir(tmp_path) == []


def test_a_manifest_that_would_be_refused_is_not_written(tmp_path: Path) -> None:
    def write_infinity() -> None:
        with write_bundle(tmp_path / "bundle") as (draft, commit):
            (draft / "model.onnx").write_bytes(b"")
            commit(manifest_of(draft, ["model.onnx"]).model_copy(update={"parity": {"x": {"max_abs": math.inf}}}))

    assert "Infinity is no number of JSON" in refusal(write_infinity)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("force", [False, True])
def test_folders_on_the_way_are_made(tmp_path: Path, force: bool) -> None:
    bundle = write(tmp_path / "a" / "b" / "bundle", force=force)
    assert read_all(bundle) == FILES
    assert bundle.stat().st_mode & 0o777 == 0o755
    assert os.listdir(bundle.parent) == ["bundle"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    assert read_all(write(tmp_path / "bundle")) == FILES
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_bundle_is_replaced_by_force_alone(tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle")
    (bundle / "notes").touch()
    assert "replace it with --force" in refusal(lambda: write(bundle, NEW))
    assert read_all(bundle) == FILES
    write(bundle, NEW, force=True)
    assert read_all(bundle) == NEW
    assert sorted(os.listdir(bundle)) == [CHECKSUMS, MANIFEST, *NEW]
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_damaged_bundle_can_be_replaced(tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle")
    (bundle / MANIFEST).write_bytes((bundle / MANIFEST).read_bytes()[:100])
    refusal(lambda: Bundle(bundle))
    assert read_all(write(bundle, NEW, force=True)) == NEW


def test_a_link_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "v1")
    (tmp_path / "current").symlink_to("v1")
    write(tmp_path / "current", NEW, force=True)
    assert (tmp_path / "current").is_symlink()
    assert read_all(tmp_path / "v1") == NEW
    assert sorted(os.listdir(tmp_path)) == ["current", "v1"]


def make_web_app(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"name": "a web app", "format_version": 1}')


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("a file"),
        lambda path: (path / "thesis").mkdir(parents=True),
        make_web_app,
        lambda path: (path / "manifest.json").mkdir(parents=True),
        lambda path: path.symlink_to("nothing"),
        lambda path: path.symlink_to(path.name),
        lambda path: ((path.parent / "thesis").mkdir(), (path.parent / "thesis/x").touch(), path.symlink_to("thesis")),
    ],
    ids=["file", "folder", "web app", "manifest is a folder", "dangling link", "loop", "link to a folder"],
)
@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_bundle_is_never_replaced(tmp_path: Path, make: Callable[[Path], object], force: bool) -> None:
    path = tmp_path / "bundle"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    assert "is no bundle; it is not replaced" in refusal(lambda: write(path, force=force))
    assert sorted(tmp_path.rglob("*")) == before


def test_what_came_there_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"

    def write_late() -> None:
        with write_bundle(bundle) as (_, commit):
            write(bundle, NEW)
            commit(Bundle(bundle).manifest)

    refusal(write_late)
    assert read_all(bundle) == NEW
    assert os.listdir(tmp_path) == ["bundle"]


@pytest.mark.parametrize(
    ("place", "part"),
    [
        (".", "the working folder"),
        ("here/..", "the working folder"),
        ("..", "is no bundle"),
        ("/proc/self", "is no bundle|cannot look"),
        ("file/bundle", "Not a directory|File exists"),
        ("loop/bundle", "[Ll]oop|symbolic links"),
        ("x" * 255, "File name too long"),
        ("x" * 300, "File name too long"),
    ],
)
def test_places_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, part: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    if place.startswith("file"):
        (work / "file").touch()
    if place.startswith("loop"):
        (work / "loop").symlink_to("loop")
    before = os.listdir(work)
    monkeypatch.chdir(work)
    with pytest.raises(BundleError, match=part) as caught:
        write(Path(place))
    assert str(caught.value).isprintable()
    assert os.listdir(work) == before


def test_the_place_is_seen_before_the_work(tmp_path: Path) -> None:
    check_place(tmp_path / "new", BUNDLE, force=False)
    check_place(tmp_path / "no" / "folder" / "yet", BUNDLE, force=False)
    assert os.listdir(tmp_path) == []


def test_reports_outlive_a_bundle_that_is_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "bundle")
    (path / "reports").mkdir()
    (path / "reports" / "history.json").write_text("what was tried")
    write(path, {"model.onnx": graph(b"another graph")}, force=True)
    assert (path / "reports" / "history.json").read_text() == "what was tried"
    assert read_all(path) == {"model.onnx": graph(b"another graph")}
