"""The lines of a UTF-8 file, numbered, in constant memory."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError

STANDARD_INPUT = Path("-")


class Lines(Iterator[str]):
    r"""The lines of a UTF-8 file with or without a byte order mark; only ``\n``, ``\r\n`` and ``\r`` end one.

    Args:
        path: the file, or ``-`` for standard input, which :meth:`close` leaves open.
        newline: None gives every line end as ``\n``, "" gives it as it stands in the file.

    Attributes:
        name: what error messages call the file.
        number: of the last line that was read, from 1; 0 at the start.
        total: bytes in the file; None for standard input and pipes.

    Raises:
        InputError: here or from the iterator: the file cannot be read, or a line is not UTF-8.
    """

    def __init__(self, path: Path, newline: str | None) -> None:
        self._owned = path != STANDARD_INPUT
        self.name = str(path) if self._owned else "standard input"
        self.number = 0
        self._file = open_binary(path) if self._owned else open_standard_input()
        self.total = (os.fstat(self._file.fileno()).st_size or None) if self._owned else None  # a pipe has no size
        self._bytes = _CountedBytes(self._file)
        # Bytes that are not UTF-8 become lone surrogates here, and __next__ reports them line by line. A strict decoder
        # would fail for a whole block, and lose the good lines before the bad one.
        self._text = io.TextIOWrapper(  # type: ignore[type-var]  # the stub asks for ``name``, which is not used
            self._bytes, encoding="utf-8-sig", errors="surrogateescape", newline=newline
        )

    def __next__(self) -> str:
        try:
            line = next(self._text)
        except OSError as error:
            raise unreadable(self.name, error) from error
        self.number += 1
        try:
            line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) - 0xDC00
            raise InputError(
                f"{self.name}, line {self.number}: expected UTF-8, found byte 0x{byte:02x} after {error.start} "
                "characters; convert the file with: iconv -f ITS_ENCODING -t UTF-8"
            ) from None
        return line

    @property
    def position(self) -> int:
        """Bytes read so far. Reading is up to one block ahead of the last line."""
        return self._bytes.count

    def close(self) -> None:
        if self._owned:
            self._file.close()


def open_binary(path: Path) -> BinaryIO:
    """The file, opened for reading; :class:`InputError` if that fails."""
    try:
        return path.open("rb")
    except OSError as error:
        raise unreadable(str(path), error) from error


def unreadable(name: str, error: Exception) -> InputError:
    """The error for a file that the system, or a parser, cannot read."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error).partition("\n")[0]
    return InputError(f"expected a readable file of texts, found {name}: {reason}; check the path and the file")


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
