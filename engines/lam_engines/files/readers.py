"""Texts from files, one at a time and in constant memory: plain lines, JSON lines, CSV, Parquet and standard input."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from .arrow import require_pyarrow
from .folders import FolderSource, text_files
from .lines import STANDARD_INPUT, Lines, open_binary, unreadable
from .source import TextReader

_DEFAULT_COLUMN = "text"
_CSV_FIELD_CHARACTERS = 2**31 - 1  # what fits the C long of every platform
_PARQUET_BATCH_ROWS = 256
_PARQUET_BUFFER_BYTES = 1 << 20
_NAMES_SHOWN = 10
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_JSON_KINDS = {
    type(None): "null",
    bool: "a boolean",
    float: "a number",
    list: "an array",
    dict: "an object",
}
# Numbers are never texts. Read as floats they may have any number of digits; Python limits the digits of an int.
_JSON = json.JSONDecoder(parse_int=float)


def read_texts(path: Path, column: str | None = None) -> TextReader:
    r"""The texts of a file or a folder, read as they are asked for.

    - ``.txt``: one text a line; an empty line is an empty text.
    - ``.jsonl``: each line is a JSON string, or an object whose ``column`` is a string.
    - ``.csv``: comma-separated, quotes doubled inside quotes, with a header row.
    - ``.parquet``: strings without nulls; needs pyarrow.
    - ``-``: standard input, read as ``.txt``.
    - a folder: all files of one of these kinds in it and in its subfolders, sorted by path.

    Text files are UTF-8, with or without a byte order mark; only ``\n``, ``\r\n`` and ``\r`` end a line. Before this
    returns, the file is open and the header of a table is checked.

    Args:
        path: the file or the folder. A file's suffix says how to read it.
        column: the column or key that holds the texts. Default: "text", or a table's only column.

    Raises:
        InputError: here or from the iterator: the file is not as described. The message names the line or row, from 1.
    """
    if path != STANDARD_INPUT and path.is_dir():
        folder = FolderSource(text_files(path), partial(read_texts, column=column))
        return TextReader(folder.texts(), folder)
    suffix = ".txt" if path == STANDARD_INPUT else path.suffix.lower()
    source: Lines | _ParquetRows
    if suffix == ".parquet":
        source = _ParquetRows(path, column)
        return TextReader(source.texts(), source)
    if suffix not in _LINE_READERS:
        raise InputError(
            f"expected texts in a .txt, .jsonl, .csv or .parquet file, a folder of such files, or - for standard "
            f"input, found {path}; rename or convert it"
        )
    # A quoted CSV field keeps its line ends as they are.
    source = Lines(path, newline="" if suffix == ".csv" else None)
    try:
        return TextReader(_LINE_READERS[suffix](source, column), source)
    except BaseException:
        source.close()
        raise


def _txt(lines: Lines, column: str | None) -> Iterator[str]:
    if column is not None:
        raise InputError(
            f"{lines.name}: expected no column for lines of plain text, found --column {column!r}; leave it out"
        )
    return (line.removesuffix("\n") for line in lines)


def _jsonl(lines: Lines, column: str | None) -> Iterator[str]:
    key = _DEFAULT_COLUMN if column is None else column
    return (_json_text(line, f"{lines.name}, line {lines.number}", key) for line in lines)


def _json_text(line: str, where: str, key: str) -> str:
    expected = f"{where}: expected a JSON string, or an object with a string in {key!r}, found"
    if not line.strip():
        raise InputError(f'{expected} an empty line; delete it, or write "" for an empty text')
    try:
        value = _JSON.decode(line.removesuffix("\n"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{expected} no valid JSON ({error.msg}, column {error.colno}); write one JSON value a line"
        ) from None
    except RecursionError:
        raise InputError(f"{expected} JSON that is nested too deeply; simplify the line") from None
    if isinstance(value, dict):
        if key not in value:
            raise InputError(f"{expected} {_listed('key', value)}; name another with --column NAME")
        value = value[key]
        if not isinstance(value, str):
            raise InputError(
                f"{expected} {_JSON_KINDS[type(value)]} there; mend the line, or name another with --column NAME"
            )
    if not isinstance(value, str):
        raise InputError(f"{expected} {_JSON_KINDS[type(value)]}; mend the line")
    return _without_lone_surrogates(value)


def _without_lone_surrogates(text: str) -> str:
    r"""``text`` with U+FFFD for each lone surrogate.

    A lone surrogate has no UTF-8 form, and tokenizers refuse it. It can enter a text only as a JSON escape such as
    ``"\ud800"``.
    """
    return _LONE_SURROGATE.sub("\ufffd", text)


def _csv(lines: Lines, column: str | None) -> Iterator[str]:
    csv.field_size_limit(_CSV_FIELD_CHARACTERS)  # a text may be long; csv knows no limit for one reader alone
    rows = _csv_rows(lines)
    _, header = next(rows, (0, []))
    if not header:
        raise InputError(
            f"{lines.name}, line 1: expected a header row, found none; write the names of the columns there"
        )
    name = _choose_column(lines.name, header, column)
    if column is None and name != _DEFAULT_COLUMN and re.search("[;\t|]", name):
        raise InputError(
            f"{lines.name}, line 1: expected columns separated by commas, found only {name!r}; "
            f"convert the file, or confirm that this is its one column with --column {name!r}"
        )
    return _csv_texts(lines.name, rows, header.index(name), len(header))


def _csv_texts(file: str, rows: Iterator[tuple[int, list[str]]], index: int, width: int) -> Iterator[str]:
    for line, row in rows:
        if len(row) != width:
            fix = "quote fields that hold commas or line ends" if row else 'delete it, or write "" for an empty text'
            raise InputError(
                f"{file}, line {line}: expected {_counted(width, 'field')} as in the header, "
                f"found {_counted(len(row), 'field') if row else 'an empty line'}; {fix}"
            )
        yield row[index]


def _csv_rows(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of the line that it starts on."""
    # Strict: otherwise a quote that is never closed turns the rest of the file into one text.
    rows = csv.reader(lines, strict=True)
    while True:
        line = lines.number + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{lines.name}, line {line}: expected a CSV row, found a broken one ({error}); "
                "close the quotes that are opened, and double those inside a quoted field"
            ) from None
        yield line, row


class _ParquetRows:
    """One string column of a Parquet file; ``position`` and ``total`` count rows."""

    def __init__(self, path: Path, column: str | None) -> None:
        require_pyarrow(path, InputError)
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path = path
        self._file = open_binary(path)
        self.position = 0
        try:
            # With a buffer, the pages of a column are read one by one; without it, a whole row group at once.
            self._parquet = pq.ParquetFile(self._file, buffer_size=_PARQUET_BUFFER_BYTES)
            self.total: int = self._parquet.metadata.num_rows
            schema = self._parquet.schema_arrow
            self._column = _choose_column(str(path), schema.names, column)
            kind = schema.field(self._column).type
            if not _is_text(kind):
                raise InputError(
                    f"{path}: expected strings in column {self._column!r}, found {kind}; "
                    "convert the column, or name another with --column NAME"
                )
        except (OSError, pa.ArrowException) as error:
            self.close()
            raise unreadable(str(path), error) from error
        except BaseException:
            self.close()
            raise

    def texts(self) -> Iterator[str]:
        for value in self._values():
            self.position += 1
            expected = f"{self._path}, row {self.position}: expected a string in column {self._column!r}, found"
            try:
                text = value.as_py()
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{expected} bytes that are not UTF-8 ({error.reason}); write the column anew"
                ) from None
            if text is None:
                raise InputError(f"{expected} null; fill it or drop the row")
            yield text

    def _values(self) -> Iterator[Any]:
        import pyarrow as pa

        try:
            for batch in self._parquet.iter_batches(_PARQUET_BATCH_ROWS, columns=[self._column]):
                yield from batch.column(self._column)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(str(self._path), error) from error

    def close(self) -> None:
        self._file.close()


def _is_text(kind: Any) -> bool:
    """Whether an Arrow type holds strings, plain or in a dictionary."""
    from pyarrow import types

    # Compared by name: some versions of pyarrow do not know string_view.
    return str(kind.value_type if types.is_dictionary(kind) else kind) in ("string", "large_string", "string_view")


def _choose_column(file: str, names: Sequence[str], column: str | None) -> str:
    """``column``, if the table has it exactly once. None stands for "text", or for the only column."""
    if column is None:
        column = names[0] if len(names) == 1 else _DEFAULT_COLUMN
    if names.count(column) == 1:
        return column
    found = f"it {names.count(column)} times" if column in names else _listed("column", names)
    raise InputError(f"{file}: expected one column {column!r}, found {found}; name another with --column NAME")


def _listed(what: str, names: Iterable[str]) -> str:
    """Names for an error message: quoted, so that each stays on the line, and at most ten of them."""
    names = list(names)
    shown = ", ".join(map(repr, names[:_NAMES_SHOWN])) + (", ..." if len(names) > _NAMES_SHOWN else "")
    return f"{_counted(len(names), what)}{': ' if names else ''}{shown}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


_LINE_READERS: dict[str, Callable[[Lines, str | None], Iterator[str]]] = {".txt": _txt, ".jsonl": _jsonl, ".csv": _csv}
