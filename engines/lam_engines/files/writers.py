"""Embeddings to files of NumPy, JSON lines or Parquet: written as they come, and whole or not at all."""

import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np

from ..bundles.whole import drafted_file, put_file_in_place
from ..embedding.texts import without_surrogates
from ..errors import EngineError, LamError
from ..storage import is_remote, put_whole, reached
from .arrow import require_pyarrow
from .kept import column, plain

# A row group is held in memory until it is complete. Smaller groups take less memory and make a longer footer.
_ROW_GROUP_BYTES = 16 << 20


class OutputError(LamError):
    """A file of embeddings that cannot be written."""


class EmbeddingWriter(ABC):
    """A file of embeddings that is being written; :func:`open_writer` makes one. ``rows`` counts the rows so far."""

    _bytes_per_value = 4

    def __init__(self, path: Path, file: BinaryIO, hidden_size: int, kept: Mapping[str, Any]) -> None:
        self._path = path
        self._file = file
        self._hidden_size = hidden_size
        self._kept = kept
        self.rows = 0

    def write(self, texts: Sequence[str], vectors: np.ndarray, kept: Sequence[Sequence[Any]] | None = None) -> None:
        """Append a row for each text.

        Args:
            texts: n texts; ``.npy`` has no place for them. A lone surrogate is written as U+FFFD.
            vectors: their embeddings, float32 [n, hidden]; the caller may use the array again afterwards.
            kept: for each text the values of the columns that :func:`open_writer` was told of.

        Raises:
            EngineError: the embeddings have another shape or type, or are not finite.
            OutputError: the disk is full or fails.
        """
        expected = (len(texts), self._hidden_size)
        if vectors.shape != expected or vectors.dtype != np.float32:
            raise EngineError(
                f"{self._path}: expected embeddings float32 {list(expected)}, found {vectors.dtype} "
                f"{list(vectors.shape)}; the bundle and its engine disagree: export the checkpoint again"
            )
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise EngineError(
                f"{self._path}, row {self.rows + int(np.argmin(finite)) + 1}: expected finite embeddings, found NaN or "
                "infinity from the engine; use the fp32 model"
            )
        columns = {name: [row[i] for row in kept or ()] for i, name in enumerate(self._kept)}
        with self.explained():
            self._append([without_surrogates(text) for text in texts], vectors, columns)
        self.rows += len(texts)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn an :class:`OSError` into an :class:`OutputError` that says how much room is needed and where."""
        try:
            yield
        except OSError as error:
            needed = 1000 * self._hidden_size * self._bytes_per_value / 1e6
            raise OutputError(
                f"{self._path}: expected room for the embeddings, found: {error.strerror or error} (after {self.rows} "
                f"rows; 1000 rows take about {needed:.1f} MB); make room in {self._path.absolute().parent}, or choose "
                "another folder"
            ) from error

    @abstractmethod
    def _append(self, texts: Sequence[str], vectors: np.ndarray, kept: Mapping[str, Sequence[Any]]) -> None: ...

    def finish(self) -> None:
        """Write what comes after the last row. It does nothing in formats that have nothing there."""
        return

    def discard(self) -> None:
        """Let go of the file, complete or not."""
        return


class _NpyWriter(EmbeddingWriter):
    """A float32 array [rows, hidden]. The header is written again at the end, when the number of rows is known."""

    def __init__(self, path: Path, file: BinaryIO, hidden_size: int, kept: Mapping[str, Any]) -> None:
        super().__init__(path, file, hidden_size, kept)
        self._file.write(self._header())

    def _header(self) -> bytes:
        # The format pads headers to a multiple of 64 bytes, so there is room for any number of rows.
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self._hidden_size)}
        )
        return header.getvalue()

    def _append(self, texts: Sequence[str], vectors: np.ndarray, kept: Mapping[str, Sequence[Any]]) -> None:
        self._file.write(vectors.astype("<f4").tobytes())

    def finish(self) -> None:
        self._file.seek(0)
        self._file.write(self._header())


class _JsonlWriter(EmbeddingWriter):
    """An object {kept columns, "text": string, "embedding": [numbers]} a line, in ASCII."""

    _bytes_per_value = 14  # "-0.0123456789,"

    def _append(self, texts: Sequence[str], vectors: np.ndarray, kept: Mapping[str, Sequence[Any]]) -> None:
        for i, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
            # str() of a float32 gives the fewest digits that read back as the same float32. Characters beyond ASCII
            # are escaped: some readers take U+2028 and others for line ends.
            fields = {**{name: plain(values[i]) for name, values in kept.items()}, "text": text}
            line = f'{json.dumps(fields)[:-1]}, "embedding": [{", ".join(map(str, vector))}]}}\n'
            self._file.write(line.encode("ascii"))


class _ParquetWriter(EmbeddingWriter):
    """The kept columns, "text" (string) and "embedding" (a list of ``hidden`` floats, of fixed size)."""

    def __init__(self, path: Path, file: BinaryIO, hidden_size: int, kept: Mapping[str, Any]) -> None:
        super().__init__(path, file, hidden_size, kept)
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {name: kind or pa.string() for name, kind in kept.items()}
        embedding = pa.list_(pa.float32(), hidden_size)
        self._schema = pa.schema({**columns, "text": pa.string(), "embedding": embedding})
        self._parquet = pq.ParquetWriter(file, self._schema, use_dictionary=False)
        self._tables: list[Any] = []
        self._bytes = 0

    def _append(self, texts: Sequence[str], vectors: np.ndarray, kept: Mapping[str, Sequence[Any]]) -> None:
        import pyarrow as pa

        values = pa.array(np.array(vectors, order="C").reshape(-1))
        embeddings = pa.FixedSizeListArray.from_arrays(values, type=self._schema.field("embedding").type)
        columns = [column(name, values, self._kept[name]) for name, values in kept.items()]
        table = pa.table([*columns, pa.array(texts, pa.string()), embeddings], schema=self._schema)
        self._tables.append(table)
        self._bytes += table.nbytes
        if self._bytes >= _ROW_GROUP_BYTES:
            self._write_row_group()

    def _write_row_group(self) -> None:
        import pyarrow as pa

        self._parquet.write_table(pa.concat_tables(self._tables))
        self._tables.clear()
        self._bytes = 0

    def finish(self) -> None:
        if self._tables:
            self._write_row_group()
        self._parquet.close()

    def discard(self) -> None:
        # Left open, its destructor would write to the closed file and print an error.
        with suppress(Exception):
            self._parquet.close()


_WRITERS: dict[str, type[EmbeddingWriter]] = {".npy": _NpyWriter, ".jsonl": _JsonlWriter, ".parquet": _ParquetWriter}


@contextmanager
def open_writer(
    path: Path, hidden_size: int, force: bool = False, kept: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[EmbeddingWriter]:
    """Write a file of embeddings, of which only a part is held in memory.

    - ``.npy``: the embeddings, float32 [rows, hidden].
    - ``.jsonl``: ``{"text": ..., "embedding": [...]}`` a line.
    - ``.parquet``: columns ``text`` and ``embedding``; needs pyarrow.

    The kept columns come before the text. In Parquet those of Parquet keep their types, and those of text files are
    strings: JSON values that are no strings are written as JSON.

    The rows go to a temporary file in the same folder. At the end of the ``with`` block this file is renamed to
    ``path``. If the block ends with an exception, it is deleted, and ``path`` is unchanged. A process that is killed
    leaves the temporary file, which is hidden and named ``*.partial``. A remote file is written to the temporary folder
    first, and then uploaded as a whole.

    Args:
        path: the file; its suffix decides the format. A symbolic link is followed.
        hidden_size: length of an embedding.
        force: replace an existing file, also one that appears during the run.
        kept: further columns, and Arrow's type of each; None: not known.

    Raises:
        OutputError: unknown suffix, no such folder, an existing file without ``force``, a full disk, no pyarrow, or
            kept columns that the file cannot have.
    """
    kind = _WRITERS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"expected an output file ending in {' or '.join(_WRITERS)}, found {path}; rename it")
    if kind is _ParquetWriter:
        require_pyarrow(path, OutputError)
    if kept and kind is _NpyWriter:
        raise OutputError(f"expected a .jsonl or .parquet output for the kept columns, found {path}; rename it")
    if taken := {"text", "embedding"} & set(kept):
        raise OutputError(
            f"expected kept columns beside text and embedding, which every output has, found {min(taken)!r}; leave it "
            f"out, or rename it in the input"
        )
    with open_output(path, force=force) as draft:
        writer = kind(path, draft, hidden_size, kept)
        try:
            yield writer
            with writer.explained():
                writer.finish()
                draft.flush()
        finally:
            writer.discard()


@contextmanager
def open_output(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A new file, which gets its name when the block ends well.

    Args:
        path: the file. A symbolic link is followed.
        force: replace an existing file, also one that appears during the run.

    Raises:
        OutputError: no such folder, an existing file without ``force``, or a full disk at the end.
    """
    if is_remote(path):
        if not force and _there(path):
            raise _taken(path)
        with put_whole(path, OutputError) as local, local.open("wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    with ExitStack() as stack:
        try:
            _check_place(path, target, force)
            draft = stack.enter_context(drafted_file(target))
        except OSError as error:
            raise OutputError(
                f"{path}: expected a place for a new file, found: {error.strerror}; choose another"
            ) from error
        yield draft
        try:
            _put_in_place(draft, path, target, force)
        except OSError as error:
            raise OutputError(f"{path}: expected room for the file, found: {error.strerror}; make room") from error


def _put_in_place(draft: BinaryIO, path: Path, target: Path, force: bool) -> None:
    """Give the file its name. If another file took the name during the run, both are kept."""
    try:
        put_file_in_place(draft, target, replace=force)
    except FileExistsError:
        for number in count(1):
            other = target.with_stem(f"{target.stem}-{number}")
            with suppress(FileExistsError):
                put_file_in_place(draft, other, replace=False)
                break
        raise OutputError(
            f"expected a new output file, found that {path} appeared during the run; it is unchanged, and the "
            f"embeddings are in {other}"
        ) from None


def _check_place(path: Path, target: Path, force: bool) -> None:
    if target.is_dir():
        raise OutputError(f"expected an output file, found the folder {path}; name a file in it")
    if not target.parent.is_dir():
        raise OutputError(f"{path}: expected a folder at {target.parent}, found none; mkdir -p {target.parent}")
    if target.exists() and not force:
        raise _taken(path)


def _there(path: Path) -> bool:
    with reached(path, OutputError):
        return path.exists()


def _taken(path: Path) -> OutputError:
    return OutputError(
        f"expected a new output file, found {path} in place; choose another name, or replace it with --force"
    )
