"""Texts from files, one at a time and in constant memory: plain lines, JSON lines, tables and standard input."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..storage import reached
from .csv_rows import CsvRows
from .folders import FolderRows, text_files
from .formats import COMPRESSIONS, Format, format_of, named_format
from .json_rows import JsonRows
from .lines import STANDARD_INPUT, Lines, open_standard_input
from .parquet_rows import ParquetRows
from .rows import Reading, Row, RowReader, RowSource
from .source import TextReader

_SEPARATORS = {"csv": ",", "tsv": "\t"}
_SPELLED = {"tab": "\t", "\\t": "\t"}


def read_texts(path: Path, column: str | None = None) -> TextReader:
    """The texts of a file or a folder alone; see :func:`read_rows`.

    Args:
        path: the file or the folder.
        column: the column or key that holds the texts. Default: "text", or a Parquet file's only column.

    Raises:
        InputError: here or from the iterator: the file is not as described. The message names the line or row, from 1.
    """
    return TextReader(read_rows(path, Reading(column=column)))


def read_rows(
    path: Path,
    reading: Reading = Reading(),
    report: Callable[[int, Mapping[str, Any], InputError], None] = lambda row, kept, error: None,
    check: Callable[[str], None] = lambda text: None,
) -> RowReader:
    r"""The rows of a file or a folder, read as they are asked for.

    - ``.txt``: one text a line; an empty line is an empty text.
    - ``.jsonl``, ``.ndjson``: each line is a JSON string, or an object whose ``column`` is a string.
    - ``.csv``, ``.tsv``: separated by commas or tabs, quotes doubled inside quotes, with a header row.
    - ``.parquet``: strings without nulls; needs pyarrow.
    - any of the text files compressed: ``.gz``, ``.bz2``, ``.xz``, and ``.zst``, which needs pyarrow.
    - ``-``: standard input, read as ``.txt`` if no format is named.
    - a folder: all files of one of these formats in it and in its subfolders, sorted by path.

    Text files are UTF-8, with or without a byte order mark; only ``\n``, ``\r\n`` and ``\r`` end a line. Blank lines at
    the end of JSON lines and tables are no rows. Before this returns, the file is open and the header of a table is
    checked.

    Args:
        path: the file or the folder. A file's name says how to read it, if ``reading.format`` does not.
        reading: the columns, and what is allowed.
        report, check: see :class:`RowReader`.

    Raises:
        InputError: here or from the iterator: the file is not as described. The message names the line or row, from 1.
    """
    with reached(path, InputError):
        folder = path != STANDARD_INPUT and path.is_dir()
    if folder:
        source: RowSource = FolderRows(text_files(path, reading.format), partial(_source, reading=reading))
    else:
        source = _source(path, reading)
    return RowReader(source, reading, report, check)


class _TxtRows:
    """A text a line."""

    def __init__(self, lines: Lines, reading: Reading) -> None:
        for option, given in (
            ("--column", reading.column),
            ("--keep", reading.keep),
            ("--id-column", reading.id_column),
        ):
            if given:
                raise InputError(
                    f"{lines.name}: expected no column for lines of plain text, found {option} {given!r}; leave it "
                    f"out, or name the format: --format jsonl"
                )
        self._lines = lines
        self._guessed = reading.format is None and lines.name == "standard input"
        self.kept_types: dict[str, Any] = {}
        self.close = lines.close
        self.total = lines.total

    @property
    def position(self) -> int:
        return self._lines.position

    @property
    def where(self) -> str:
        return self._lines.where

    def rows(self) -> Iterator[Row]:
        for line in self._lines:
            mistake, self._lines.mistake = self._lines.mistake, None
            if self._guessed and self._lines.number == 1 and line.startswith(('{"', "PAR1")):
                found, name = ("JSON", "jsonl") if line.startswith("{") else ("Parquet", "parquet")
                raise InputError(
                    f"expected a text a line on standard input, found {found}; say so: --format {name} (or --format "
                    f"txt, to embed the lines as they are)"
                )
            yield Row(line.removesuffix("\n"), error=mistake, size=len(line))


def _source(path: Path, reading: Reading) -> RowSource:
    found = _format(path, reading.format)
    if reading.delimiter is not None and found.name not in _SEPARATORS:
        raise InputError(
            f"{path}: expected no --delimiter for {found.name}, found {reading.delimiter!r}; leave it out, or name the "
            f"format: --format csv"
        )
    if found.name == "parquet":
        return ParquetRows(path, reading)
    lines = Lines(
        path,
        newline="" if found.name in _SEPARATORS else None,  # a quoted field keeps its line ends as they are
        compression=found.compression,
        most=2 * reading.max_text_bytes,
        lenient=True,
    )
    try:
        if found.name in _SEPARATORS:
            return CsvRows(lines, reading, _delimiter(reading.delimiter or _SEPARATORS[found.name]))
        return JsonRows(lines, reading) if found.name == "jsonl" else _TxtRows(lines, reading)
    except BaseException:
        lines.close()
        raise


def _format(path: Path, named: str | None) -> Format:
    if named is not None:
        return named_format(named)
    if path == STANDARD_INPUT:
        file = _redirected()
        if file is not None and format_of(file) not in (None, Format("txt")):
            raise InputError(
                f"expected a text a line on standard input, found the file {file}; name it: --input {file}, or say "
                f"how to read it: --format {Path(file).suffix[1:].lower()}"
            )
        return Format("txt")
    found = format_of(path.name)
    if found is None:
        raise InputError(
            f"expected texts in a .txt, .jsonl, .csv, .tsv or .parquet file, text files also with "
            f".{', .'.join(COMPRESSIONS)}, in a folder of such files, or - for standard input, found {path}; name its "
            f"format: --format csv"
        )
    return found


def _redirected() -> str | None:
    """The file that standard input was redirected from; None if it is another thing, or the system does not say."""
    try:
        found = Path(f"/proc/self/fd/{open_standard_input().fileno()}").readlink()
        return str(found) if found.is_file() else None
    except OSError:
        return None


def _delimiter(given: str) -> str:
    delimiter = _SPELLED.get(given, given)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise InputError(f"expected one character for --delimiter, such as ';' or tab, found {given!r}")
    return delimiter
