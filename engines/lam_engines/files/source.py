"""The common face of all readers of texts: the texts in order, and how far reading has come."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class TextSource(Protocol):
    """Where texts come from: a file, or the files of a folder."""

    @property
    def position(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    def close(self) -> None: ...


class TextReader(Iterator[str], AbstractContextManager["TextReader"]):
    """The texts of one source, in order. The source is closed after the last text, an error, ``close`` or ``with``."""

    def __init__(self, texts: Iterator[str], source: TextSource) -> None:
        self._texts = texts
        self._source = source

    def __next__(self) -> str:
        try:
            return next(self._texts)
        except BaseException:  # StopIteration too: there is nothing more to read
            self.close()
            raise

    @property
    def position(self) -> int:
        """How far the source is read, for a progress bar: in bytes, or in rows for ``.parquet``."""
        return self._source.position

    @property
    def total(self) -> int | None:
        """Where ``position`` ends; None for standard input and pipes."""
        return self._source.total

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._source.close()

    def __exit__(self, *exception: object) -> None:
        self.close()
