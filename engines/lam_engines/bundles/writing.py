"""Writes bundles whole, and extends them in one step: a reader sees either the old or the new bundle.

A new bundle is written beside its place and renamed. An extension changes two files of an existing bundle, the manifest
and ``SHA256SUMS``. It is one step all the same, because ``SHA256SUMS`` says which file is the manifest:

1. The new files are written, and the new manifest as ``manifest.next.json``. No reader looks for them.
2. ``SHA256SUMS`` is replaced. It now lists the new files, and ``manifest.next.json`` instead of ``manifest.json``. This
   is the commit.
3. ``manifest.json``, which is no longer listed, is replaced by a copy of the new manifest.
4. ``SHA256SUMS`` is replaced. It lists ``manifest.json`` again. ``manifest.next.json`` and dropped files are deleted.

Each file is flushed to the disk before the next one. So no file changes or disappears while ``SHA256SUMS`` lists it,
and ``sha256sum -c`` passes at every moment. A kill before the commit leaves the old bundle. A kill after it leaves the
new bundle in the state of step 2 or 3. Readers accept both states, and the next extension finishes the steps. A reader
may read an old ``SHA256SUMS`` and then a new manifest. It then reads ``SHA256SUMS`` again, finds it changed, and starts
over.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..contract import CHECKSUMS, MANIFEST, NEXT_MANIFEST, REPORTS
from ..errors import BundleError, reason_of
from .bundle import Bundle, entry_of
from .checksums import Checksums
from .manifest import Manifest
from .whole import FolderKind, check_place, drafted_folder, put_folder_in_place, write_whole

_BEGINNING = b'{\n  "format_version": '


def _is_bundle(path: Path) -> bool:
    """Whether a folder holds a bundle's manifest, intact or damaged. Other tools' ``manifest.json`` does not count."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        return False
    with manifest.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING


BUNDLE = FolderKind("bundle", "choose another place: -o BUNDLE", _is_bundle, BundleError)


@contextmanager
def write_bundle(path: Path | str, *, force: bool = False) -> Iterator[tuple[Path, Callable[[Manifest], None]]]:
    """Build a bundle beside its place, and rename it when it is whole.

    Yields the temporary folder to write files into, and a function to call last. The function writes the manifest and
    puts the bundle in place. If it is not called, or anything raises, nothing is left behind and ``path`` is unchanged.

    Args:
        path: where to write the bundle.
        force: replace an existing bundle. A folder that is not a bundle is never replaced.

    Raises:
        BundleError: ``path`` is taken, or cannot be written.
    """
    place = check_place(Path(path), BUNDLE, force)
    with drafted_folder(place, BUNDLE) as draft:

        def commit(manifest: Manifest) -> None:
            write_manifest(draft, manifest)
            if force and (place / REPORTS).is_dir():
                shutil.copytree(place / REPORTS, draft / REPORTS)  # the history of changes to the model
            with _one_writer(place):
                check_place(place, BUNDLE, force)
                put_folder_in_place(draft, place, replace=force)

        yield draft, commit


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` and ``SHA256SUMS`` into a draft that holds a bundle's files.

    Raises:
        BundleError: readers would refuse the bundle.
        OSError: they cannot be written.
    """
    content = manifest.to_json().encode("ascii")
    (folder / MANIFEST).write_bytes(content)
    (folder / CHECKSUMS).write_bytes(_checksums(manifest, MANIFEST, content).to_bytes())
    Bundle(folder, kind=None)


def _checksums(manifest: Manifest, name: str, content: bytes) -> Checksums:
    """The checksums of a manifest's files, and of the manifest itself in the file ``name``."""
    if reserved := {MANIFEST, NEXT_MANIFEST, CHECKSUMS} & manifest.files.keys():
        raise BundleError(f"the name {min(reserved)} is reserved in every bundle; give the file another name")
    hashes = {file: entry.sha256 for file, entry in manifest.files.items()}
    return Checksums(name, entry_of(content).sha256, hashes)


def extend_bundle(
    path: Path | str,
    files: Mapping[str, bytes],
    change: Callable[[Manifest], Manifest],
    drop: Iterable[str] = (),
) -> Bundle:
    """Add files to an existing bundle, all of them or none, in the steps above. Writers wait for each other.

    No file of the bundle is ever overwritten: new content gets a new name.

    Args:
        path: the bundle.
        files: the content of each new file, by its name. A name that the bundle has must keep its content.
        change: makes the new manifest from the old one. Entries for ``files`` and ``drop`` are updated here.
        drop: files to delete once the new manifest is in place.

    Raises:
        BundleError: the bundle is broken, a name is taken, or the disk is full; the bundle is unchanged.
    """
    folder = Bundle(path, kind=None).path.resolve()
    drop = set(drop) - set(files)
    try:
        with _one_writer(folder):
            _settle(folder)
            manifest = Bundle(folder, kind=None).manifest
            _commit(folder, files, manifest, _extended(folder, manifest, files, change, drop))
            with suppress(OSError):  # the committed bundle is whole; the next extension finishes the steps
                _settle(folder)
                for name in drop:
                    (folder / name).unlink(missing_ok=True)
            return Bundle(folder, kind=None)
    except OSError as error:
        raise BundleError(f"{folder} was not changed: {reason_of(error)}; make room, or copy it elsewhere") from error


def _extended(
    folder: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    change: Callable[[Manifest], Manifest],
    drop: set[str],
) -> Manifest:
    """The new manifest, checked as a reader checks it."""
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
    """Take steps 1 and 2. A failure before the commit leaves nothing behind."""
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
    """Take steps 3 and 4 of a committed extension. Its process may have been killed after the commit."""
    checksums = Checksums.from_bytes((folder / CHECKSUMS).read_bytes(), str(folder / CHECKSUMS))
    if checksums.manifest == NEXT_MANIFEST:
        write_whole(folder / MANIFEST, (folder / NEXT_MANIFEST).read_bytes())
        write_whole(folder / CHECKSUMS, replace(checksums, manifest=MANIFEST).to_bytes())
    (folder / NEXT_MANIFEST).unlink(missing_ok=True)


@contextmanager
def _one_writer(folder: Path) -> Iterator[None]:
    """Let only one writer at a time change a bundle; others wait. A killed writer's lock is gone at once.

    Where folders cannot be locked (Windows, some network file systems), concurrent writers are not kept apart.
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
