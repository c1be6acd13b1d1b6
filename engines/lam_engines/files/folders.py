"""A folder of files of texts, read as one."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import InputError
from .source import TextReader

SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")


def text_files(folder: Path) -> list[Path]:
    """The files of texts in a folder and its subfolders, sorted by path.

    Files of other kinds are skipped. So is every name that begins with ``.`` or ``_``: other readers of such folders
    skip those too.

    Raises:
        InputError: there is no file, the files are of several kinds, or the folder cannot be read.
    """
    try:
        found = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in SUFFIXES
            and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
            and path.is_file()
        )
    except OSError as error:
        raise InputError(f"expected a readable folder, found {folder}: {error.strerror}; check its rights") from None
    kinds = sorted({path.suffix.lower() for path in found})
    if len(kinds) != 1:
        raise InputError(
            f"expected files of one kind ({', '.join(SUFFIXES)}) in the folder {folder}, found "
            f"{' and '.join(kinds) or 'none'}; {'keep one kind there' if kinds else 'name another folder, or a file'}"
        )
    return found


class FolderSource:
    """The files of a folder, one after the other. ``position`` and ``total`` are sums over the files."""

    def __init__(self, files: Sequence[Path], read: Callable[[Path], TextReader]) -> None:
        """Check that every file can be opened and has the column.

        Args:
            files: in the order in which they are read.
            read: opens one file.

        Raises:
            InputError: a file cannot be opened, or lacks the column.
        """
        self._files = files
        self._read = read
        self._before = 0
        self._reader: TextReader | None = None
        self.total = 0
        for file in files:
            with read(file) as reader:
                self.total += reader.total or 0

    @property
    def position(self) -> int:
        return self._before + (0 if self._reader is None else self._reader.position)

    def texts(self) -> Iterator[str]:
        for file in self._files:
            self._reader = self._read(file)
            yield from self._reader
            self._before += self._reader.total or 0
            self._reader = None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
