"""A folder of files of texts, read as one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..storage import is_remote, remote_files
from .formats import FORMATS, Format, format_of, named_format
from .rows import Row, RowSource


def text_files(folder: Path, named: str | None = None) -> list[Path]:
    """The files of texts in a folder and its subfolders, sorted by path.

    Files of other kinds are skipped. So is every name that begins with ``.`` or ``_``: other readers of such folders
    skip those too. Links are followed, to files and to folders.

    Args:
        folder: where to look.
        named: the format to read, such as ``csv``; None: the only one that is there.

    Raises:
        InputError: there is no file, the files are of several kinds, or something cannot be read: a subfolder, a link
            that leads nowhere or back to a folder that it is in, a pipe.
    """
    try:
        paths = _listed(folder) if is_remote(folder) else _walk(folder, ())
        found = {path: kind for path in paths if (kind := format_of(path.name))}
    except OSError as error:
        raise InputError(
            f"expected a folder that can be read to its end, found {error.filename or folder}: {error.strerror}; check "
            f"its rights, or take it out of {folder}"
        ) from None
    if named is not None:
        wanted = named_format(named)
        found = {path: kind for path, kind in found.items() if kind in (wanted, _packed(wanted, kind))}
    kinds = sorted({kind.name for kind in found.values()})
    if len(kinds) != 1:
        several = "keep one kind there, or choose one with --format"
        raise InputError(
            f"expected files of one kind (.{', .'.join(FORMATS)}) in the folder {folder}, found "
            f"{' and '.join(f'.{kind}' for kind in kinds) or 'none'}; "
            f"{several if kinds else 'name another folder, or a file'}"
        )
    return sorted(found, key=str) if is_remote(folder) else sorted(found)


def _packed(wanted: Format, kind: Format) -> Format:
    """``--format csv`` takes the compressed files of a folder too."""
    return Format(wanted.name, kind.compression if wanted.compression is None else wanted.compression)


def _listed(folder: Path) -> Iterator[Path]:
    for path in remote_files(folder):
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts):
            yield path


def _walk(folder: Path, inside: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    about = folder.stat()
    here = (about.st_dev, about.st_ino)
    if here in inside:
        raise InputError(
            f"expected folders within folders, found {folder}, a link back to one that it is in; remove it"
        )
    for path in folder.iterdir():
        if path.name.startswith((".", "_")):
            continue
        path.stat()  # OSError for a link that leads nowhere, which could be a file of texts or a folder of them
        if path.is_dir():
            yield from _walk(path, (*inside, here))
        elif path.is_file():
            yield path
        elif format_of(path.name):
            raise InputError(f"expected files of texts, found {path}, a pipe or device; name it itself: --input {path}")


class FolderRows:
    """The files of a folder, one after the other. ``position`` and ``total`` are sums over the files."""

    def __init__(self, files: Sequence[Path], open_file: Callable[[Path], RowSource]) -> None:
        """Check that every file can be opened and has the columns.

        Args:
            files: in the order in which they are read.
            open_file: opens one file.

        Raises:
            InputError: a file cannot be opened, or lacks a column.
        """
        self._files = files
        self._open = open_file
        self._before = 0
        self._source: RowSource | None = None
        self.total = 0
        self.kept_types: Mapping[str, Any] = {}
        for file in files:
            source = open_file(file)
            source.close()
            self.total += source.total or 0
            self.kept_types = self.kept_types or source.kept_types

    @property
    def position(self) -> int:
        return self._before + (0 if self._source is None else self._source.position)

    @property
    def where(self) -> str:
        assert self._source is not None  # noqa: S101
        return self._source.where

    def rows(self) -> Iterator[Row]:
        for file in self._files:
            self._source = self._open(file)
            yield from self._source.rows()
            self._source.close()
            self._before += self._source.total or 0
            self._source = None

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
