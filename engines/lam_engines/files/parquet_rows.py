"""Parquet: one column of strings, and those that are kept."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError
from .arrow import require_pyarrow
from .lines import STANDARD_INPUT, open_binary, open_standard_input, unreadable
from .rows import Reading, Row
from .tables import choose_column, one_column

_BATCH_ROWS = 16
"""Few: in a dictionary one long text stands for many rows, and a batch holds a copy for each."""
_BUFFER_BYTES = 1 << 20
_UNPACKED, _RATIO = 2, 50
"""A column of a row group may unpack to twice the largest text, or else to fifty times its size in the file. A
page of it is held in memory, and nothing before the page itself tells how large the page is."""


class ParquetRows:
    """The rows of a Parquet file, a page at a time; ``position`` and ``total`` count rows."""

    def __init__(self, path: Path, reading: Reading) -> None:
        """Read the footer.

        Raises:
            InputError: the file is no Parquet, lacks a column, holds no strings there, or unpacks to too much.
        """
        require_pyarrow(path, InputError)
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path = "standard input" if path == STANDARD_INPUT else str(path)
        self._most = reading.max_text_bytes
        self._file = _seekable(path, self._path)
        self.position = 0
        self._first = 0
        try:
            schema = pq.read_schema(self._file)
            self._column = choose_column(self._path, schema.names, reading.column)
            kind = schema.field(self._column).type
            if not is_text(kind):
                raise InputError(
                    f"{self._path}: expected strings in column {self._column!r}, found {kind}; "
                    "convert the column, or name another with --column NAME"
                )
            kept = [one_column(self._path, schema.names, name, "--keep NAME") for name in reading.kept]
            self.kept_types = {name: _plain(schema.field(name).type) for name in kept}
            self._columns = list(dict.fromkeys((self._column, *kept)))
            # With a buffer, the pages of a column are read one by one; without it, a whole row group at once.
            self._parquet = pq.ParquetFile(self._file, buffer_size=_BUFFER_BYTES)
            self.total: int = self._parquet.metadata.num_rows
            self._check_sizes()
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last: names of columns
            self.close()
            raise unreadable(self._path, error) from error
        except BaseException:
            self.close()
            raise

    def rows(self) -> Iterator[Row]:
        for batch in self._batches():
            kept = [batch.column(name) for name in self.kept_types]
            for i, value in enumerate(batch.column(self._column)):
                self.position += 1
                yield self._row(_value(value), tuple(_value(column[i]) for column in kept))

    @property
    def where(self) -> str:
        return f"{self._path}, row {self.position}"

    def skip(self, rows: int) -> int:
        """Leave out row groups at the beginning that have at most so many rows. Gives the rows that were left out."""
        found = self._parquet.metadata
        while self._first < found.num_row_groups and self.position + found.row_group(self._first).num_rows <= rows:
            self.position += found.row_group(self._first).num_rows
            self._first += 1
        return self.position

    def close(self) -> None:
        self._file.close()

    def _row(self, value: Any, kept: tuple[Any, ...]) -> Row:
        expected = f"{self.where}: expected a string in column {self._column!r}, found"
        if not value.is_valid:
            return Row("", kept, InputError(f"{expected} null; fill it or drop the row"))
        content = value.as_buffer()
        if content.size > self._most:
            found = f"{expected} one of {content.size:,} bytes, more than {self._most:,}; raise --max-text-bytes"
            return Row("", kept, InputError(found))
        try:
            text = content.to_pybytes().decode()
        except UnicodeDecodeError as error:
            found = f"{expected} bytes that are not UTF-8 ({error.reason}); write the column anew"
            return Row("", kept, InputError(found))
        return Row(text, kept, size=len(text) + sum(_size(value) for value in kept))

    def _batches(self) -> Iterator[Any]:
        import pyarrow as pa

        if not self._parquet.metadata.num_row_groups:  # which pyarrow 18 refuses to read
            return
        try:
            groups = range(self._first, self._parquet.metadata.num_row_groups)
            yield from self._parquet.iter_batches(_BATCH_ROWS, row_groups=list(groups), columns=self._columns)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._path, error) from error

    def _check_sizes(self) -> None:
        found = self._parquet.metadata
        for group in map(found.row_group, range(found.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                size = column.total_uncompressed_size
                if column.path_in_schema.split(".")[0] not in self._columns or size <= _UNPACKED * self._most:
                    continue
                if size > _RATIO * column.total_compressed_size:
                    raise InputError(
                        f"{self._path}: expected row groups that can be read in pieces, found {size:,} bytes packed in "
                        f"{column.total_compressed_size:,} in column {column.path_in_schema!r}; write smaller row "
                        f"groups, or raise --max-text-bytes if you trust the file"
                    )


def is_text(kind: Any) -> bool:
    """Whether an Arrow type holds strings, plain or in a dictionary."""
    return str(_plain(kind)) in ("string", "large_string", "string_view")  # some pyarrow do not know string_view


def _plain(kind: Any) -> Any:
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _value(scalar: Any) -> Any:
    return scalar.value if hasattr(scalar, "dictionary") and scalar.is_valid else scalar


def _size(value: Any) -> int:
    return value.as_buffer().size if value.is_valid and hasattr(value, "as_buffer") else 64


def _seekable(path: Path, name: str) -> BinaryIO:
    """The file; a pipe is copied to a temporary one, because a Parquet file begins to be read at its end."""
    file = open_standard_input() if path == STANDARD_INPUT else open_binary(path)
    if path != STANDARD_INPUT and file.seekable():
        return file
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # closed by ParquetRows
    try:
        shutil.copyfileobj(file, copy)
    except OSError as error:
        copy.close()
        raise unreadable(name, error) from error
    finally:
        if path != STANDARD_INPUT:
            file.close()
    copy.seek(0)
    return copy
