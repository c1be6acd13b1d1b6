"""The texts of rows alone, for callers that keep no columns."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

from .rows import RowReader


class TextReader(Iterator[str], AbstractContextManager["TextReader"]):
    """The texts of one source, in order. The source is closed after the last text, an error, ``close`` or ``with``."""

    def __init__(self, rows: RowReader) -> None:
        self._rows = rows

    def __next__(self) -> str:
        return next(self._rows).text

    @property
    def position(self) -> int:
        """How far the source is read, for a progress bar: in bytes, or in rows for ``.parquet``."""
        return self._rows.position

    @property
    def total(self) -> int | None:
        """Where ``position`` ends; None for standard input and pipes."""
        return self._rows.total

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._rows.close()

    def __exit__(self, *exception: object) -> None:
        self.close()
