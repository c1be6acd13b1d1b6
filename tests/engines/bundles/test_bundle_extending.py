"""Adding to a bundle in its place: all of it or nothing."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import bundles
import pytest

from lam_engines.bundles import writing
from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.bundles.manifest import Manifest
from lam_engines.bundles.writing import extend_bundle
from lam_engines.contract import CHECKSUMS, MANIFEST, NEXT_MANIFEST
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
    assert extended.manifest_sha256 == file_entry(bundle / MANIFEST).sha256
    assert set(everything(bundle)) == {*before, "engines/a.plan", MANIFEST, CHECKSUMS}
    bundles.check_with_sha256sum(bundle)


def test_what_is_dropped_is_gone(bundle: Path) -> None:
    extend_bundle(bundle, {"engines/a.plan": b"a plan"}, lambda m: m)
    extend_bundle(bundle, {"engines/b.plan": b"another"}, lambda m: m, drop=["engines/a.plan"])
    assert set(everything(bundle)) == {*bundles.FILES, "engines/b.plan", MANIFEST, CHECKSUMS}


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


ERRORS = [OSError(28, "No space left on device"), KeyboardInterrupt()]
COMMIT = 3
"""The write of an extension by two files, counted from 0, with which it is made: a, b, the manifest, the checksums."""


def failing_at(write: int, error: BaseException, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one of the writes fail, before it does anything or after it did all."""
    real, calls = writing.write_whole, iter(range(9))

    def write_whole(place: Path, content: bytes) -> None:
        failing = next(calls) == write
        if not failing or after:
            real(place, content)
        if failing:
            raise error

    monkeypatch.setattr(writing, "write_whole", write_whole)


def extend(bundle: Path) -> Bundle:
    return extend_bundle(bundle, {"engines/a.plan": b"a", "engines/b.plan": b"b"}, with_max_tokens(7))


@pytest.mark.parametrize("failing", range(COMMIT + 1))
@pytest.mark.parametrize("error", ERRORS)
def test_a_write_that_fails_changes_nothing(
    failing: int, error: BaseException, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(bundle)
    failing_at(failing, error, after=False, monkeypatch=monkeypatch)
    with pytest.raises(BundleError if isinstance(error, OSError) else KeyboardInterrupt):
        extend(bundle)
    assert everything(bundle) == before


@pytest.mark.parametrize("failing", [COMMIT + 1, COMMIT + 2])
def test_what_is_committed_needs_no_more_room(failing: int, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_at(failing, ERRORS[0], after=False, monkeypatch=monkeypatch)
    assert extend(bundle).manifest.max_tokens_tested == 7
    assert NEXT_MANIFEST in everything(bundle)
    bundles.check_with_sha256sum(bundle)
    assert bundles.read_all(bundle) == {**bundles.FILES, "engines/a.plan": b"a", "engines/b.plan": b"b"}
    assert bundles.read_all(bundles.write(bundle, force=True)) == bundles.FILES  # and it can be replaced


@pytest.mark.parametrize("failing", [COMMIT, COMMIT + 1, COMMIT + 2])
def test_the_next_extension_settles_what_was_interrupted(
    failing: int, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(failing, ERRORS[1], after=True, monkeypatch=monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        extend(bundle)
    monkeypatch.undo()
    assert Bundle(bundle).manifest.max_tokens_tested == 7
    bundles.check_with_sha256sum(bundle)
    assert extend_bundle(bundle, {"engines/c.plan": b"c"}, lambda m: m).manifest.max_tokens_tested == 7
    names = {*bundles.FILES, MANIFEST, CHECKSUMS, *(f"engines/{name}.plan" for name in "abc")}
    assert set(everything(bundle)) == names
    bundles.check_with_sha256sum(bundle)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("steps", range(COMMIT, COMMIT + 3))
def test_a_reader_between_two_writes(times: int, steps: int, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has read ``SHA256SUMS`` when the bundle is extended, once or more, to its end or to a kill."""
    left, real = iter(range(times)), Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        content = real(path)
        if path.name == CHECKSUMS and (i := next(left, None)) is not None:
            with monkeypatch.context() as within:
                within.setattr(Path, "read_bytes", real)
                failing_at(steps, KeyboardInterrupt(), after=True, monkeypatch=within)
                with suppress(KeyboardInterrupt):
                    extend_bundle(bundle, {f"{i}": b"1", f"and {i}": b"2"}, with_max_tokens(i))
        return content

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    # Killed right at the commit, the old manifest is still there, and what was read is a whole bundle.
    assert Bundle(bundle).manifest.max_tokens_tested == (2000 if steps == COMMIT else times - 1)


def test_what_is_damaged_is_refused_although_an_extension_was_interrupted(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(COMMIT, ERRORS[1], after=True, monkeypatch=monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        extend(bundle)
    monkeypatch.undo()
    new = (bundle / NEXT_MANIFEST).read_bytes()
    (bundle / NEXT_MANIFEST).write_bytes(new.replace(b"7", b"8"))
    message = bundles.refusal(lambda: Bundle(bundle))
    assert f"{NEXT_MANIFEST} was altered or damaged (it differs from its hash in SHA256SUMS)" in message
    bundles.refusal(lambda: extend_bundle(bundle, {}, lambda m: m))
    (bundle / NEXT_MANIFEST).unlink()
    assert f"{NEXT_MANIFEST} cannot be read (No such file or directory)" in bundles.refusal(lambda: Bundle(bundle))


@pytest.mark.parametrize("name", [MANIFEST, CHECKSUMS, NEXT_MANIFEST])
def test_a_name_that_every_bundle_uses_is_taken(bundle: Path, name: str) -> None:
    before = everything(bundle)
    assert "is reserved in every bundle" in bundles.refusal(lambda: extend_bundle(bundle, {name: b""}, lambda m: m))
    assert everything(bundle) == before


def test_writers_wait_for_each_other_and_readers_for_nobody(bundle: Path) -> None:
    names = [f"engines/{i}.plan" for i in range(12)]
    done = threading.Event()

    def read() -> int:
        seen = 0
        while not done.is_set() or not seen:
            files = bundles.read_all(bundle)
            assert all(files[name] == name.encode() for name in names if name in files)
            seen += 1
        return seen

    def add(name: str) -> None:
        extend_bundle(bundle, {name: name.encode()}, lambda m: m.model_copy(update={"tools": {**m.tools, name: "1"}}))

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(add, name) for name in names]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        assert all(reader.result() for reader in readers)
    assert set(bundles.read_all(bundle)) == {*bundles.FILES, *names}
    assert set(names) < set(Bundle(bundle).manifest.tools)
    assert set(everything(bundle)) == {*bundles.FILES, *names, MANIFEST, CHECKSUMS}


def test_the_change_sees_the_manifest_of_the_moment(bundle: Path) -> None:
    seen: list[Manifest] = []
    opened = Bundle(bundle)
    extend_bundle(bundle, {}, with_max_tokens(7))
    extend_bundle(opened.path, {}, lambda m: seen.append(m) or m)
    assert seen[0].max_tokens_tested == 7
