"""Bundles are written whole, and extended in one step: a reader sees the bundle as it was or as it will be.

A new bundle is a folder that is renamed. An extension changes a bundle in its place, and two of its files with it, the
manifest and ``SHA256SUMS``. It is one step all the same, because the second one says which file is the manifest:

1. New files are written, and the new manifest as ``manifest.next.json``. No reader looks for them.
2. ``SHA256SUMS`` is replaced by one that lists them, ``manifest.next.json`` and not ``manifest.json``: the commit.
3. ``manifest.json``, which is not listed now, is replaced by a copy of the new manifest.
4. ``SHA256SUMS`` is replaced by one that lists it in the other's place. ``manifest.next.json`` and dropped files go.

Each file is flushed to the disk before the next one. So as long as a ``SHA256SUMS`` is in place, no file that it lists
changes or goes, and ``sha256sum -c`` passes at every moment. A kill before the commit leaves the bundle as it was. A
kill after it leaves the new one, as of step 2 or 3, which readers take as well and the next extension settles. A reader
that read an old ``SHA256SUMS`` and then a new manifest looks again, finds another ``SHA256SUMS``, and starts over.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..contract import CHECKSUMS, MANIFEST, NEXT_MANIFEST, REPORTS
from ..errors import BundleError
from .bundle import Bundle, entry_of
from .checksums import Checksums
from .manifest import Manifest
from .whole import FolderKind, check_place, drafted_folder, put_folder_in_place, write_whole

_BEGINNING = b'{\n  "format_version": '


def _is_bundle(path: Path) -> bool:
    """Whether a manifest is there, be it damaged; other tools' folders may hold a ``manifest.json`` of their own."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        return False
    with manifest.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING


BUNDLE = FolderKind("bundle", "choose another place: -o BUNDLE", _is_bundle, BundleError)


@contextmanager
def write_bundle(path: Path | str, *, force: bool = False) -> Iterator[tuple[Path, Callable[[Manifest], None]]]:
    """Build a bundle beside its place and rename it there once it is whole.

    Yields the temporary folder to write files into, and a function to call last: it writes the manifest and puts the
    bundle in place. If it is not called, or anything raises, nothing is left behind and what was at ``path`` stays.

    Args:
        path: where the bundle will be.
        force: replace a bundle that is there. A folder that is no bundle is never replaced.

    Raises:
        BundleError: ``path`` is taken, or cannot be written.
    """
    place = check_place(Path(path), BUNDLE, force)
    with drafted_folder(place, BUNDLE) as draft:

        def commit(manifest: Manifest) -> None:
            write_manifest(draft, manifest)
            if force and (place / REPORTS).is_dir():
                shutil.copytree(place / REPORTS, draft / REPORTS)  # what was tried on the model, and how it did
            with _one_writer(place):
                check_place(place, BUNDLE, force)
                put_folder_in_place(draft, place, replace=force)

        yield draft, commit


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` and ``SHA256SUMS`` into a folder with a bundle's files that nobody reads yet.

    Raises:
        BundleError: a reader would refuse them.
        OSError: they cannot be written.
    """
    content = manifest.to_json().encode("ascii")
    (folder / MANIFEST).write_bytes(content)
    (folder / CHECKSUMS).write_bytes(_checksums(manifest, MANIFEST, content).to_bytes())
    Bundle(folder, kind=None)


def _checksums(manifest: Manifest, name: str, content: bytes) -> Checksums:
    """The checksums of a manifest's files, and of the manifest in the file ``name``."""
    if reserved := {MANIFEST, NEXT_MANIFEST, CHECKSUMS} & manifest.files.keys():
        raise BundleError(f"{min(reserved)} is a name that every bundle uses itself; give the file another name")
    hashes = {file: entry.sha256 for file, entry in manifest.files.items()}
    return Checksums(name, entry_of(content).sha256, hashes)


def extend_bundle(
    path: Path | str,
    files: Mapping[str, bytes],
    change: Callable[[Manifest], Manifest],
    drop: Iterable[str] = (),
) -> Bundle:
    """Add files to a bundle that is there, all of them or none: see above. Several writers wait for each other.

    A file of the bundle is never overwritten: new content gets a new name.

    Args:
        path: the bundle.
        files: name to content. A name that the bundle has must come with the content that it has.
        change: the manifest to the new one; the entries of ``files`` and ``drop`` are made here.
        drop: files that are no longer of use; removed once the new manifest is in place.

    Raises:
        BundleError: the bundle is broken, a name is taken, or the disk is full; the bundle is as it was.
    """
    folder = Bundle(path).path.resolve()
    drop = set(drop) - set(files)
    try:
        with _one_writer(folder):
            _settle(folder)
            manifest = Bundle(folder).manifest
            _commit(folder, files, manifest, _extended(folder, manifest, files, change, drop))
            with suppress(OSError):  # what is committed is whole as it is; the next extension settles it
                _settle(folder)
                for name in drop:
                    (folder / name).unlink(missing_ok=True)
            return Bundle(folder)
    except OSError as error:
        raise BundleError(f"{folder} was not changed: {_reason(error)}; make room, or copy it elsewhere") from error


def _extended(
    folder: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    change: Callable[[Manifest], Manifest],
    drop: set[str],
) -> Manifest:
    """The new manifest, which a reader is seen not to refuse."""
    entries = {name: entry_of(content) for name, content in files.items()}
    if taken := [name for name, entry in entries.items() if manifest.files.get(name, entry) != entry]:
        raise BundleError(f"{', '.join(taken)} in {folder} has other content and is not overwritten; remove it first")
    changed = change(manifest)
    kept = {name: entry for name, entry in changed.files.items() if name not in drop}
    extended = changed.model_copy(update={"files": kept | entries})
    content = extended.to_json()
    Manifest.from_json(content, str(folder / MANIFEST))
    return extended


def _commit(folder: Path, files: Mapping[str, bytes], manifest: Manifest, extended: Manifest) -> None:
    """Steps 1 and 2; what fails before the commit leaves nothing behind."""
    before = (folder / CHECKSUMS).read_bytes()
    content = extended.to_json().encode("ascii")
    checksums = _checksums(extended, NEXT_MANIFEST, content).to_bytes()
    try:
        for name, data in files.items():
            write_whole(folder / name, data)
        write_whole(folder / NEXT_MANIFEST, content)
        write_whole(folder / CHECKSUMS, checksums)
    except BaseException:  # Ctrl-C too
        if (folder / CHECKSUMS).read_bytes() == before:
            for name in (NEXT_MANIFEST, *files):
                if name not in manifest.files:
                    (folder / name).unlink(missing_ok=True)
        raise


def _settle(folder: Path) -> None:
    """Steps 3 and 4, for an extension that was committed, be it by a process that was killed then."""
    checksums = Checksums.from_bytes((folder / CHECKSUMS).read_bytes(), str(folder / CHECKSUMS))
    if checksums.manifest == NEXT_MANIFEST:
        write_whole(folder / MANIFEST, (folder / NEXT_MANIFEST).read_bytes())
        write_whole(folder / CHECKSUMS, replace(checksums, manifest=MANIFEST).to_bytes())
    (folder / NEXT_MANIFEST).unlink(missing_ok=True)


@contextmanager
def _one_writer(folder: Path) -> Iterator[None]:
    """Wait until no other writer is at work on a bundle, and keep others waiting. Nobody waits for one that was killed.

    Where folders cannot be locked (Windows, some network file systems), writers at the same time are not kept apart.
    """
    handle = None
    with suppress(ImportError, OSError):
        import fcntl

        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
