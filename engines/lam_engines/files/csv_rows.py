"""Tables of text with a header row: ``.csv`` and ``.tsv``."""

import csv
import re
from collections.abc import Iterator
from typing import Any

from ..errors import InputError
from .lines import Lines
from .rows import Reading, Row
from .tables import DEFAULT_COLUMN, counted, one_column

_FIELD_CHARACTERS = 2**31 - 1  # what fits the C long of every platform


class CsvRows:
    """The rows of a table of text. Blank lines at its end are no rows, and an empty file has none."""

    def __init__(self, lines: Lines, reading: Reading, delimiter: str) -> None:
        """Read the header.

        Raises:
            InputError: there is no header, or it lacks a column.
        """
        csv.field_size_limit(_FIELD_CHARACTERS)  # a text may be long; csv knows no limit for one reader alone
        self._lines = lines
        self._most = 2 * reading.max_text_bytes
        self._start = 0
        # Strict: otherwise a quote that is never closed turns the rest of the file into one text.
        self._records = csv.reader(self._bounded(), strict=True, delimiter=delimiter)
        self.kept_types: dict[str, Any] = dict.fromkeys(reading.kept)
        self.close = lines.close
        self.total = lines.total
        header = self._record() or []
        self._empty = lines.number == 0
        if self._empty:
            return
        if not header or lines.mistake is not None:
            raise lines.mistake or InputError(
                f"{lines.name}, line 1: expected a header row, found none; write the names of the columns there"
            )
        name = DEFAULT_COLUMN if reading.column is None else reading.column
        other = re.search("[;\t|,]", header[0])
        if reading.column is None and len(header) == 1 and other:
            raise InputError(
                f"{lines.name}, line 1: expected columns separated by {_spelled(delimiter)}, found only {header[0]!r}; "
                f"say what separates them: --delimiter {_spelled(other[0])}, or that this is the one column: "
                f"--column {header[0]!r}"
            )
        # One column of another name is not taken unasked: it may be the first text of a file without a header.
        one_column(lines.name, header, name, "--column NAME, or write a header row if there is none")
        self._index, self._width = header.index(name), len(header)
        self._kept = [header.index(one_column(lines.name, header, kept, "--keep NAME")) for kept in self.kept_types]

    @property
    def position(self) -> int:
        return self._lines.position

    @property
    def where(self) -> str:
        return f"{self._lines.name}, line {self._start}"

    def rows(self) -> Iterator[Row]:
        if self._empty:
            return
        blank: list[int] = []
        first = self._lines.number + 1
        while (record := self._record()) is not None:
            number, first = first, self._lines.number + 1
            mistake, self._lines.mistake = self._lines.mistake, None
            if mistake is None and not (record[1:] or "".join(record).strip() or (record and self._width == 1)):
                blank = [blank[0] if blank else number, number]
                continue
            for empty in range(blank[0], blank[1] + 1) if blank else ():  # a row follows: they are not at the end
                yield Row("", error=self._error(empty, 'an empty line; delete it, or write "" for an empty text'))
            blank = []
            if mistake is None and len(record) != self._width:
                found = f"{counted(len(record), 'field')}; quote fields that hold separators or line ends"
                mistake = self._error(number, found)
            if mistake is not None:
                yield Row("", error=mistake)
                continue
            yield Row(
                record[self._index], tuple(record[i] for i in self._kept), size=sum(len(field) for field in record)
            )

    def _record(self) -> list[str] | None:
        self._start = self._lines.number + 1
        self._held = 0
        try:
            return next(self._records, None)
        except csv.Error as error:
            raise InputError(
                f"{self._lines.name}, line {self._start}: expected a row of fields, found a broken one ({error}); "
                "close the quotes that are opened, and double those inside a quoted field"
            ) from None

    def _bounded(self) -> Iterator[str]:
        """The lines. A record that is too long ends the run: where the next one begins is not known."""
        for line in self._lines:
            self._held += len(line)
            if self._held > self._most or not line:
                raise InputError(
                    f"{self._lines.name}, line {self._start}: expected a row of at most {self._most:,} characters, "
                    f"found more; close the quotes that are opened, or raise --max-text-bytes"
                )
            yield line

    def _error(self, line: int, found: str) -> InputError:
        return InputError(
            f"{self._lines.name}, line {line}: expected {counted(self._width, 'field')} as in the header, found {found}"
        )


def _spelled(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else repr(delimiter)
