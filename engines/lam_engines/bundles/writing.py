"""Bundles are written whole, and extended in one step: a reader sees the bundle as it was or as it will be."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..contract import MANIFEST, REPORTS
from ..errors import BundleError
from .bundle import Bundle, entry_of
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
            (draft / MANIFEST).write_bytes(manifest.to_json().encode("ascii"))
            if force and (place / REPORTS).is_dir():
                shutil.copytree(place / REPORTS, draft / REPORTS)  # what was tried on the model, and how it did
            check_place(place, BUNDLE, force)
            put_folder_in_place(draft, place, replace=force)

        yield draft, commit


def extend_bundle(
    path: Path | str,
    files: Mapping[str, bytes],
    change: Callable[[Manifest], Manifest],
    drop: Iterable[str] = (),
) -> Bundle:
    """Add files to a bundle that is there.

    The manifest takes its place last, in one rename: a reader sees the bundle as it was or as it will be. So a file of
    the bundle is never overwritten; new content gets a new name. Two writers at once are not kept apart.

    Args:
        path: the bundle.
        files: name to content. A name that the bundle has must come with the content that it has.
        change: the manifest to the new one; the entries of ``files`` and ``drop`` are made here.
        drop: files that are no longer of use; removed once the new manifest is in place.

    Raises:
        BundleError: the bundle is broken, a name is taken, or the disk is full; the bundle is as it was.
    """
    folder = Bundle(path).path.resolve()
    manifest = Bundle(folder).manifest
    entries = {name: entry_of(content) for name, content in files.items()}
    if taken := [name for name, entry in entries.items() if manifest.files.get(name, entry) != entry]:
        raise BundleError(f"{', '.join(taken)} in {folder} has other content and is not overwritten; remove it first")
    drop = set(drop) - set(files)
    changed = change(manifest)
    kept = {name: entry for name, entry in changed.files.items() if name not in drop}
    content = changed.model_copy(update={"files": kept | entries}).to_json()
    Manifest.from_json(content, str(folder / MANIFEST))
    new = [folder / name for name in files if name not in manifest.files]
    try:
        for name, data in files.items():
            write_whole(folder / name, data)
        write_whole(folder / MANIFEST, content.encode("ascii"))
    except BaseException as error:  # Ctrl-C too
        if Bundle(folder).manifest == manifest:
            for place in new:
                place.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BundleError(f"{folder} was not changed: {_reason(error)}") from error
        raise
    for name in drop:
        (folder / name).unlink(missing_ok=True)
    return Bundle(folder)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
