"""Writes files and folders whole or not at all: a draft is written beside the place and then renamed.

A killed process leaves only a draft: a hidden file or folder beside the place. No reader looks at it.
"""

import errno
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import BinaryIO

from ..errors import LamError, reason_of

DRAFT_NAME = re.compile(r"\..+\.[0-9a-f]{32}\.partial")
"""The name of a file's draft: hidden, begun with the file's name, and unique."""
_KEPT = 50
"""How many characters of the file's name a draft's name has. Longer names exceed the limit of some file systems."""


@contextmanager
def drafted_file(place: Path) -> Iterator[BinaryIO]:
    """Open a draft of a file, beside its place. The end of the block deletes it unless it was put in place.

    Args:
        place: where :func:`put_file_in_place` will put it. Its folder must exist.

    Raises:
        OSError: the draft cannot be made.
    """
    draft = place.with_name(f".{place.name[:_KEPT]}.{uuid.uuid4().hex}.partial")
    file = draft.open("xb")
    try:
        yield file
    finally:
        with suppress(OSError):  # a full disk cannot take the rest of the buffer
            file.close()
        with suppress(OSError):
            draft.unlink()


def put_file_in_place(draft: BinaryIO, place: Path, *, replace: bool = True) -> None:
    """Flush a draft to the disk, close it, and give it the name ``place``.

    Args:
        draft: of :func:`drafted_file`.
        place: its name.
        replace: replace a file at ``place``.

    Raises:
        FileExistsError: there is a file at ``place``, and ``replace`` is false.
        OSError: the draft could not be put in place; ``place`` is unchanged.
    """
    if not draft.closed:
        draft.flush()
        os.fsync(draft.fileno())
        draft.close()
    if replace:
        Path(draft.name).replace(place)
    else:
        _name_anew(Path(draft.name), place)
    _flush(place.parent)


def _name_anew(draft: Path, place: Path) -> None:
    """Rename a file to a name that must be free. Renaming itself would replace another file; linking fails."""
    try:
        place.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: all that is left is to look first
        if place.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from None
        draft.rename(place)


def write_whole(place: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Its folder is made if it is missing.

    Raises:
        OSError: the file could not be written; ``place`` is unchanged.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with drafted_file(place) as draft:
        draft.write(content)
        put_file_in_place(draft, place)


def drafts_of(place: Path) -> Iterator[Path]:
    """The drafts of a file beside its place. Their writers are at work or were killed."""
    found = place.parent.glob(f".{escape(place.name[:_KEPT])}.*.partial")
    return (draft for draft in found if DRAFT_NAME.fullmatch(draft.name))


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that commands write, and replace only when told to."""

    noun: str
    """The name that users know, such as ``bundle``."""
    remedy: str
    """What a user can do when a place cannot be used, such as ``choose another place: -o BUNDLE``."""
    is_ours: Callable[[Path], bool]
    """Whether a place holds a folder of this kind. Only such a folder, or an empty one, is ever replaced."""
    error: type[LamError]
    """The error to raise when a folder cannot be written."""


def check_place(path: Path, kind: FolderKind, force: bool) -> Path:
    """See that a folder may be written to a place.

    Args:
        path: where to write the folder.
        kind: the kind of folder.
        force: whether an existing folder of this kind may be replaced.

    Returns:
        The place with all links followed, because a link cannot be replaced by a folder, and ``.`` has no name.

    Raises:
        LamError: the kind's error. The place holds something else, or a folder of this kind and ``force`` is false.
    """
    try:
        empty = path.is_dir() and not any(path.iterdir())
        if not empty and (path.exists() or path.is_symlink()):
            if not kind.is_ours(path):
                raise kind.error(f"{path} exists and is no {kind.noun}; it is not replaced, {kind.remedy}")
            if not force:
                raise kind.error(f"there is a {kind.noun} at {path} already; replace it with --force, or {kind.remedy}")
        place = path.resolve()
        if place.exists() and (os.path.ismount(place) or Path.cwd().is_relative_to(place)):
            raise kind.error(f"{path} is a mount or the working folder and cannot be replaced; {kind.remedy}")
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise kind.error(f"cannot look at {path} ({reason_of(error)}); {kind.remedy}") from None
    return place


@contextmanager
def drafted_folder(place: Path, kind: FolderKind) -> Iterator[Path]:
    """Make a draft of a folder, beside its place. The end of the block deletes it unless it was put in place.

    Args:
        place: where :func:`put_folder_in_place` will put it. Missing parent folders are made.
        kind: the kind of folder.

    Raises:
        LamError: the kind's error, also for any OSError inside the block; ``place`` is unchanged.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise kind.error(
            f"{place} was not written: {reason_of(error)}; what was there is unchanged; {kind.remedy}"
        ) from error


def put_folder_in_place(draft: Path, place: Path, *, replace: bool, flush: bool = True) -> None:
    """Flush all of a draft to the disk and rename it to ``place``.

    Replacing a folder takes two renames. A kill between them leaves the old folder beside its place, named
    ``.NAME.xxxxxxxx.old``.

    Args:
        draft: the draft of :func:`drafted_folder`.
        place: where to put it. Without ``replace``, it must be empty.
        replace: replace the folder at ``place``, which stays whole until then.
        flush: whether to wait until the content is on the disk. False is for content that can be made again.

    Raises:
        OSError: the draft could not be put in place; ``place`` holds what it held before.
    """
    if flush:
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                _flush(path)
    draft.chmod(0o755)  # only its owner can read mkdtemp's folder, and a server often runs as another user
    old = draft.with_name(f"{draft.name}.old")
    if replace and place.exists():
        place.rename(old)
    try:
        draft.rename(place)
    except OSError:
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(old, ignore_errors=True)  # useless if another writer's folder is there now
        raise
    shutil.rmtree(old, ignore_errors=True)
    _flush(place.parent)


def _flush(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    if path.is_dir():
        with suppress(OSError):  # Windows cannot open folders, and some network file systems cannot flush them
            _sync(path, os.O_RDONLY)
    else:
        _sync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows flushes only writable files


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
