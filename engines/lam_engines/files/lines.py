"""The lines of a UTF-8 file, numbered, in constant memory."""

import errno
import io
import lzma
import os
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError
from ..storage import is_remote, open_reading, reached, state_of
from .arrow import require_pyarrow

STANDARD_INPUT = Path("-")
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading and unpacking raise. A compressed file that ends too early is an EOFError."""


_ITS_ENCODING = "convert the file with: iconv -f ITS_ENCODING -t UTF-8"
_MAGIC = {
    **{
        magic: f"it is compressed: add .{name} to the file's name, or to the format: --format csv.{name}"
        for magic, name in ((b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\xfd7zXZ", "xz"), (b"(\xb5/\xfd", "zst"))
    },
    b"PK\x03\x04": "it is a ZIP or a spreadsheet: unpack it, or save it as CSV in UTF-8",
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), "convert the file with: iconv -f UTF-16 -t UTF-8"),
}
"""How files begin that are no text, and what to do with them."""
_UTF_16 = re.compile(r"([^\0]\0){4}|(\0[^\0]){4}")
"""Without a byte order mark; in most languages' letters it is valid UTF-8 too."""


class Lines(Iterator[str]):
    r"""The lines of a UTF-8 file with or without a byte order mark; only ``\n``, ``\r\n`` and ``\r`` end one.

    Args:
        path: the file, or ``-`` for standard input, which :meth:`close` leaves open.
        newline: None gives every line end as ``\n``, "" gives it as it stands in the file.
        compression: one of :data:`~lam_engines.files.formats.COMPRESSIONS`, or None.
        most: largest number of characters in a line; None: no limit.
        lenient: keep the mistake of a line in :attr:`mistake` instead of raising it.

    Attributes:
        name: what error messages call the file.
        number: of the last line that was read, from 1; 0 at the start.
        total: bytes in the file; None for standard input and pipes.
        mistake: in a lenient reader the first mistake since the caller last set it to None: bytes that are not UTF-8,
            or a line that is too long, which comes out empty.

    Raises:
        InputError: here or from the iterator: the file cannot be read, or a line is not UTF-8 or too long.
    """

    def __init__(
        self,
        path: Path,
        newline: str | None,
        *,
        compression: str | None = None,
        most: int | None = None,
        lenient: bool = False,
    ) -> None:
        self._owned = path != STANDARD_INPUT
        self.name = str(path) if self._owned else "standard input"
        self.number = 0
        self.mistake: InputError | None = None
        self._most, self._lenient = most, lenient
        self._file = open_binary(path) if self._owned else open_standard_input()
        self.total = _size(path, self._file) if self._owned else None
        self._bytes = _CountedBytes(self._file)
        try:
            unpacked = _unpacked(self._bytes, compression, path)
        except BaseException:
            self.close()
            raise
        # Bytes that are not UTF-8 become lone surrogates here, and __next__ reports them line by line. A strict decoder
        # would fail for a whole block, and lose the good lines before the bad one.
        self._text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="surrogateescape", newline=newline)

    def __next__(self) -> str:
        line = self._read()
        if not line:
            raise StopIteration
        self.number += 1
        if self._most is not None and len(line) > self._most:
            self._found(f"expected at most {self._most:,} characters, found more; raise --max-text-bytes")
            while line and not line.endswith(("\n", "\r")):
                line = self._read()
            return ""
        try:
            line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) - 0xDC00
            found = f"expected UTF-8, found byte 0x{byte:02x} after {error.start} characters; "
            start = line[:16].encode("utf-8", "surrogateescape") if self.number == 1 else b""
            if remedy := next((remedy for magic, remedy in _MAGIC.items() if start.startswith(magic)), None):
                raise InputError(f"{self.name}, line 1: {found}{remedy}") from None  # no line of such a file is text
            self._found(found + _ITS_ENCODING)
        if self.number == 1 and _UTF_16.match(line):
            raise InputError(
                f"{self.name}, line 1: expected UTF-8, found a NUL in every second place, as UTF-16 has them; convert "
                f"the file with: iconv -f UTF-16{'BE' if line[0] == chr(0) else 'LE'} -t UTF-8"
            )
        return line

    @property
    def position(self) -> int:
        """Bytes read so far, as they are in the file. Reading is up to one block ahead of the last line."""
        return self._bytes.count

    @property
    def where(self) -> str:
        """The file and its last line, for messages."""
        return f"{self.name}, line {self.number}"

    def close(self) -> None:
        if self._owned:
            self._file.close()

    def _read(self) -> str:
        try:
            return self._text.readline(-1 if self._most is None else self._most + 1)
        except _UNREADABLE as error:
            raise unreadable(self.name, error) from error

    def _found(self, mistake: str) -> None:
        error = InputError(f"{self.where}: {mistake}")
        if not self._lenient:
            raise error
        self.mistake = self.mistake or error


def open_binary(path: Path) -> BinaryIO:
    """The file, opened for reading; :class:`InputError` if that fails."""
    try:
        with reached(path, InputError):
            return open_reading(path)
    except OSError as error:
        raise unreadable(str(path), error) from error


def _size(path: Path, file: BinaryIO) -> int | None:
    """Bytes of a file; None for a pipe."""
    return (state_of(path).bytes if is_remote(path) else os.fstat(file.fileno()).st_size) or None


def unreadable(name: str, error: Exception) -> InputError:
    """The error for a file that the system, or a parser, cannot read."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error).partition("\n")[0]
    found = InputError(f"expected a readable file of texts, found {name}: {reason}; check the path and the file")
    found.passing = isinstance(error, OSError) and error.errno == errno.EIO
    return found


def open_standard_input() -> BinaryIO:
    """Standard input as bytes; :class:`InputError` if it is closed."""
    if sys.stdin is None:
        raise InputError("expected texts on standard input, found it closed; pipe them in, or name a file")
    return sys.stdin.buffer


class _CountedBytes(io.BufferedIOBase):
    """Counts the bytes that are read from a file. Closing this leaves the file open: it may be standard input."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        # Not read(): from a pipe it waits for a full block, although complete lines are there.
        data: bytes = self._file.read1(size)  # type: ignore[attr-defined]
        self.count += len(data)
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._file.read(-1 if size is None else size)
        self.count += len(data)
        return data


def _unpacked(file: _CountedBytes, compression: str | None, path: Path) -> Any:
    if compression is None:
        return file
    if compression == "zst":
        require_pyarrow(path, InputError)
        import pyarrow as pa

        return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    if compression == "gz":
        import gzip

        return gzip.GzipFile(fileobj=file, mode="rb")
    if compression == "bz2":
        import bz2

        return bz2.BZ2File(file)
    return lzma.LZMAFile(file)  # type: ignore[arg-type]  # it only reads
