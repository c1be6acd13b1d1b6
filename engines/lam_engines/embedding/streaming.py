"""One long text that comes in pieces: its token ids, and how many there are."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..errors import EngineError, InputError
from .texts import in_order

if TYPE_CHECKING:
    from .tokenizer import Tokenizer

_READ_TOKENS = 1 << 14
_SPOOL_BYTES = 1 << 20
"""Up to this many bytes of token ids stay in memory; more go to a file."""


def token_pieces(
    pieces: Iterable[str] | Iterable[np.ndarray], tokenizer: "Tokenizer", vocab_size: int
) -> Iterator[np.ndarray]:
    """The token ids of one text, piece by piece: ``[n]`` integers each.

    Args:
        pieces: strings, or token ids as ``[n]`` integers each. No piece at all is the empty text.
        tokenizer: of the bundle.
        vocab_size: every id must be below it.

    Raises:
        InputError: here: ``pieces`` is one string, a table, a mapping, a set or no collection. From the iterator: a
            piece is neither a string nor ids, is of another kind than the first, or an id is out of range.
    """
    iterator = in_order(pieces, "the pieces of a text")
    first = next(iterator, "")
    every = chain([first], iterator)
    return tokenizer.encode_pieces(_texts(every)) if isinstance(first, str) else _ids(every, vocab_size)


def _texts(pieces: Iterator[Any]) -> Iterator[str]:
    for i, piece in enumerate(pieces):
        if not isinstance(piece, str):
            raise InputError(f"expected a string in piece {i}, as in the first, found {type(piece).__name__}")
        yield piece


def _ids(pieces: Iterator[Any], vocab_size: int) -> Iterator[np.ndarray]:
    for i, piece in enumerate(pieces):
        try:
            ids = np.asarray(piece)
        except (ValueError, TypeError):
            ids = np.asarray(None)
        if ids.ndim != 1 or not (np.issubdtype(ids.dtype, np.integer) or not ids.size):
            raise InputError(
                f"expected text or a row of integers in piece {i}, found {type(piece).__name__} "
                f"({ids.dtype} {list(ids.shape)}); pass one array of ids as [ids]"
            )
        if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
            raise InputError(
                f"expected token ids 0 to {vocab_size - 1}, found {ids.min()} to {ids.max()} in piece {i}; tokenise "
                f"with the bundle's tokenizer.json"
            )
        yield ids


@contextmanager
def counted(pieces: Iterator[np.ndarray]) -> Iterator[tuple[Iterator[np.ndarray], int]]:
    """Read all token ids to count them, then yield them again with their number.

    In between they are in a temporary file without a name, 4 bytes each.

    Raises:
        EngineError: the disk has no room for them.
    """
    tokens = 0
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as file:
        for piece in pieces:
            tokens += len(piece)
            with _explained(file, tokens):
                file.write(piece.astype("<i4").tobytes())
        with _explained(file, tokens):  # seeking writes what is still in the buffer
            file.seek(0)
        yield (np.frombuffer(read, "<i4") for read in iter(lambda: file.read(4 * _READ_TOKENS), b"")), tokens


@contextmanager
def _explained(file: IO[bytes], tokens: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with suppress(OSError):
            file.close()  # closing tries again to write the buffer
        raise EngineError(
            f"expected room for the token ids, 4 bytes each, in {tempfile.gettempdir()}, found: "
            f"{error.strerror or error} (after {tokens:,}); make room, name another folder in TMPDIR, or pass "
            f"tokens=N, which needs no room"
        ) from None
