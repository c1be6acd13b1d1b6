"""Adding to a bundle in its place: all of it or nothing."""

from collections.abc import Callable
from pathlib import Path

import bundles
import pytest

from lam_engines.bundles import writing
from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import Manifest
from lam_engines.bundles.writing import extend_bundle
from lam_engines.contract import MANIFEST
from lam_engines.errors import BundleError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundles.write(tmp_path / "bundle")


def with_max_tokens(tokens: int) -> Callable[[Manifest], Manifest]:
    return lambda manifest: manifest.model_copy(update={"max_tokens_tested": tokens})


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_and_fields_are_added(bundle: Path) -> None:
    before = bundles.read_all(bundle)
    extended = extend_bundle(bundle, {"engines/a.plan": b"a plan"}, with_max_tokens(7))
    assert bundles.read_all(bundle) == {**before, "engines/a.plan": b"a plan"}
    assert extended.manifest.max_tokens_tested == 7
    assert set(everything(bundle)) == {*before, "engines/a.plan", MANIFEST}


def test_what_is_dropped_is_gone(bundle: Path) -> None:
    extend_bundle(bundle, {"engines/a.plan": b"a plan"}, lambda m: m)
    extend_bundle(bundle, {"engines/b.plan": b"another"}, lambda m: m, drop=["engines/a.plan"])
    assert set(everything(bundle)) == {*bundles.FILES, "engines/b.plan", MANIFEST}


def test_the_same_file_again_is_no_mistake(bundle: Path) -> None:
    for _ in range(2):
        extend_bundle(bundle, {"engines/a.plan": b"a plan"}, lambda m: m, drop=["engines/a.plan"])
    assert bundles.read_all(bundle)["engines/a.plan"] == b"a plan"


def test_a_file_is_never_overwritten(bundle: Path) -> None:
    before = everything(bundle)
    assert "model.onnx" in bundles.refusal(lambda: extend_bundle(bundle, {"model.onnx": b"other"}, lambda m: m))
    assert everything(bundle) == before


def test_a_manifest_that_would_be_refused_is_not_written(bundle: Path) -> None:
    before = everything(bundle)
    bundles.refusal(lambda: extend_bundle(bundle, {}, lambda m: m.model_copy(update={"timing_cache": {"x": "no"}})))
    assert everything(bundle) == before


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_changes_nothing(
    failing: int, error: BaseException, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real, calls = everything(bundle), writing.write_whole, iter(range(9))

    def write_whole(place: Path, content: bytes) -> None:
        if next(calls) == failing:
            raise error
        real(place, content)

    monkeypatch.setattr(writing, "write_whole", write_whole)
    with pytest.raises(BundleError if isinstance(error, OSError) else KeyboardInterrupt):
        extend_bundle(bundle, {"engines/a.plan": b"a", "engines/b.plan": b"b"}, with_max_tokens(7))
    assert everything(bundle) == before


def test_the_change_sees_the_manifest_of_the_moment(bundle: Path) -> None:
    seen: list[Manifest] = []
    opened = Bundle(bundle)
    extend_bundle(bundle, {}, with_max_tokens(7))
    extend_bundle(opened.path, {}, lambda m: seen.append(m) or m)
    assert seen[0].max_tokens_tested == 7
