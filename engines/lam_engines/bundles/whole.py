"""Files and folders that are written whole or not at all: drafted beside their place, and renamed there.

What a killed process leaves is a draft: a hidden file or folder beside the place, which no reader looks at.
"""

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

from ..errors import LamError

DRAFT_NAME = re.compile(r"\..+\.[0-9a-f]{32}\.partial")
"""The name of a file's draft: hidden, after the file, and unlike any other."""
_KEPT = 50
"""Characters of a file's name in that of its draft, which would else be too long for some file systems."""


@contextmanager
def drafted_file(place: Path) -> Iterator[BinaryIO]:
    """Open a draft of a file, beside its place. It is gone at the end of the block unless it was put in place.

    Args:
        place: where :func:`put_file_in_place` will put it; its folder must be there.

    Raises:
        OSError: the draft cannot be made.
    """
    draft = place.with_name(f".{place.name[:_KEPT]}.{uuid.uuid4().hex}.partial")
    file = draft.open("xb")
    try:
        yield file
    finally:
        with suppress(OSError):  # a full disk cannot take what is still in the buffer
            file.close()
        with suppress(OSError):
            draft.unlink()


def put_file_in_place(draft: BinaryIO, place: Path) -> None:
    """Flush a draft to the disk, close it, and rename it to ``place``, over a file that is there.

    Raises:
        OSError: what was at ``place`` is unchanged.
    """
    draft.flush()
    os.fsync(draft.fileno())
    draft.close()
    Path(draft.name).replace(place)
    _flush(place.parent)


def write_whole(place: Path, content: bytes) -> None:
    """Write a file. Makes its folder if need be.

    Raises:
        OSError: what was there is unchanged.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with drafted_file(place) as draft:
        draft.write(content)
        put_file_in_place(draft, place)


def drafts_of(place: Path) -> Iterator[Path]:
    """Drafts of a file that are there: of writers at work, and of those that were killed."""
    found = place.parent.glob(f".{escape(place.name[:_KEPT])}.*.partial")
    return (draft for draft in found if DRAFT_NAME.fullmatch(draft.name))


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that commands write, and replace if they are told to."""

    noun: str
    """What a user calls it, such as ``bundle``."""
    remedy: str
    """What a user can do when its place is of no use, such as ``choose another place: -o BUNDLE``."""
    is_ours: Callable[[Path], bool]
    """Whether what is at a place is of this kind. Nothing else is ever replaced, but an empty folder."""
    error: type[LamError]
    """Raised when it cannot be written."""


def check_place(path: Path, kind: FolderKind, force: bool) -> Path:
    """Refuse a place for a folder that is taken.

    Args:
        path: where the folder is to be.
        kind: what it will be.
        force: whether one of its kind that is there may be replaced.

    Returns:
        The place with all links followed: a link cannot be replaced by a folder, and ``.`` has no name.

    Raises:
        LamError: the kind's error. Something else is there, or one of its kind and ``force`` is false.
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
        raise kind.error(f"cannot look at {path} ({_reason(error)}); {kind.remedy}") from None
    return place


@contextmanager
def drafted_folder(place: Path, kind: FolderKind) -> Iterator[Path]:
    """Make a draft of a folder, beside its place. It is gone at the end of the block unless it was put in place.

    Args:
        place: where :func:`put_folder_in_place` will put it. The folders that it is in are made.
        kind: what it will be.

    Raises:
        LamError: the kind's error, for any OSError inside the block too. What was there is unchanged.
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
            f"{place} was not written: {_reason(error)}; what was there is unchanged; {kind.remedy}"
        ) from error


def put_folder_in_place(draft: Path, place: Path, *, replace: bool, flush: bool = True) -> None:
    """Flush all of a draft to the disk and rename it to ``place``.

    Killed between the two renames that replacing takes, it leaves the old folder beside its place, named
    ``.NAME.xxxxxxxx.old``.

    Args:
        draft: of :func:`drafted_folder`.
        place: where it is to be; empty, unless ``replace``.
        replace: put it in place of a folder, which stays whole until then.
        flush: False leaves it to the system when the content reaches the disk, for what can be made again.

    Raises:
        OSError: what was at ``place`` is there again.
    """
    if flush:
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                _flush(path)
    draft.chmod(0o755)  # mkdtemp's folder is for its owner alone; a server often runs as another user
    old = draft.with_name(f"{draft.name}.old")
    if replace and place.exists():
        place.rename(old)
    try:
        draft.rename(place)
    except OSError:
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(old, ignore_errors=True)  # of no use if another writer's folder is there now
        raise
    shutil.rmtree(old, ignore_errors=True)
    _flush(place.parent)


def _flush(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    if path.is_dir():
        with suppress(OSError):  # Windows opens no folders, some network file systems flush none
            _sync(path, os.O_RDONLY)
    else:
        _sync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows flushes only what may be written to


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
