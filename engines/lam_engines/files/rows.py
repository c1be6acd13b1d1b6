"""Rows of texts: the text, the columns that are kept beside it, and what to do with a row that has none."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

from ..contract import MAX_TEXT_BYTES, OnError
from ..errors import InputError

_GAPS = " \t\n\r"
_WORDS = 16
"""This part of the largest text may be without a gap. Tokenising it takes up to 200 bytes a character."""


@dataclass(frozen=True)
class Reading:
    """How texts are read. All of it decides what comes out."""

    column: str | None = None
    """Column or key of the texts; None: "text", or the only column of a Parquet file."""
    keep: tuple[str, ...] = ()
    """Columns that are carried into the output."""
    id_column: str | None = None
    """Column that names each row. It is kept too, and may not be missing in a row."""
    format: str | None = None
    """Format of the file, such as ``csv``; None: by its name."""
    delimiter: str | None = None
    """Character between the columns of ``.csv`` and ``.tsv``; None: comma and tab."""
    max_text_bytes: int = MAX_TEXT_BYTES
    """Largest size of a text in UTF-8. A line or row of a text file may have twice as many characters."""
    on_error: OnError = "fail"
    """What to do with a row whose text cannot be read: stop, leave it out, or embed the empty text."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of all columns that are carried into the output, each once, the identifier first."""
        return tuple(dict.fromkeys(filter(None, (self.id_column, *self.keep))))


class Row(NamedTuple):
    """One text."""

    text: str
    kept: tuple[Any, ...] = ()
    """Values of the kept columns: JSON's, strings, or Arrow's scalars; None where there is none."""
    error: InputError | None = None
    """Why there is no text."""
    size: int = 0
    """Characters or bytes that the row holds in memory, roughly."""


class RowSource(Protocol):
    """A file of rows, or the files of a folder."""

    @property
    def kept_types(self) -> Mapping[str, Any]:
        """The kept columns, and Arrow's type of each; None for text files, whose types are not known."""

    @property
    def position(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    @property
    def where(self) -> str:
        """The file and the line or row, from 1, of the last row."""

    def rows(self) -> Iterator[Row]: ...
    def close(self) -> None: ...


class RowReader(Iterator[Row], AbstractContextManager["RowReader"]):
    """The rows of one source, in order. The source is closed after the last row, an error, ``close`` or ``with``.

    Args:
        source: of the rows.
        reading: how to check them.
        report: is told of every row without a readable text that does not end the run: its number, from 1, its kept
            values, and why.
        check: raises :class:`InputError` for a text that the engine does not take.
    """

    def __init__(
        self,
        source: RowSource,
        reading: Reading,
        report: Callable[[int, Mapping[str, Any], InputError], None] = lambda row, kept, error: None,
        check: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._source = source
        self._reading = reading
        self._report = report
        self._check = check
        self._rows = source.rows()
        self.kept_types = source.kept_types
        self.row = 0
        """Rows read so far, those without a text too."""

    def __next__(self) -> Row:
        try:
            while True:
                row = next(self._rows)
                self.row += 1
                error = row.error or self._mistake(row)
                if error is None:
                    return row
                if self._reading.on_error == "fail":
                    raise error
                kept = row.kept or (None,) * len(self.kept_types)
                self._report(self.row, dict(zip(self.kept_types, kept, strict=True)), error)
                if self._reading.on_error == "empty":
                    return Row("", kept)
        except BaseException:  # StopIteration too: there is nothing more to read
            self.close()
            raise

    @property
    def skips(self) -> bool:
        """Whether a new reader can pass over rows without reading them. Left-out rows must not be counted for that."""
        return self._reading.on_error != "skip" and hasattr(self._source, "skip")

    def skip(self, rows: int) -> None:
        """Pass over rows: without reading most of them if this is a new reader that :attr:`skips`."""
        if self.skips and not self.row:
            self.row = self._source.skip(rows)  # type: ignore[attr-defined]
            rows -= self.row
        next(islice(self, rows, rows), None)

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

    def _mistake(self, row: Row) -> InputError | None:
        name = self._reading.id_column
        if too_large := what_is_too_large(row.text, self._reading.max_text_bytes):
            return InputError(f"{self._source.where}: {too_large}; raise --max-text-bytes")
        if name is not None and is_missing(row.kept[0]):
            where = self._source.where
            return InputError(f"{where}: expected a value in {name!r}, found none; fill it or drop the row")
        try:
            self._check(row.text)
        except InputError as error:
            return InputError(f"{self._source.where}: {error}")
        return None


def what_is_too_large(text: str, most: int) -> str:
    """What of a text is more than may be tokenised; empty if nothing is.

    Args:
        text: of any length.
        most: bytes of the largest text.
    """
    if len(text) * 4 > most and (size := len(text.encode(errors="replace"))) > most:
        return f"expected a text of at most {most:,} bytes, found {size:,}"
    apart = most // _WORDS
    if not _has_gaps(text, apart):
        return (
            f"expected a space or line end within {apart:,} characters, found more without one, which are tokenised "
            f"at once"
        )
    return ""


def is_missing(value: Any) -> bool:
    """Whether a kept value is JSON's or Arrow's null, or the empty field of a CSV."""
    return value is None or value == "" or getattr(value, "is_valid", True) is False


def _has_gaps(text: str, apart: int) -> bool:
    """Whether no more than so many characters lie between two gaps."""
    start = 0
    while len(text) - start > apart:
        start = 1 + max(text.rfind(gap, start, start + apart + 1) for gap in _GAPS)
        if not start:
            return False
    return True
