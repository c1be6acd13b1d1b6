"""Long texts in windows, so that memory does not grow with the text."""

from collections.abc import Iterable, Iterator

import numpy as np

from ..errors import InputError

WINDOW_TOKENS = 8192
"""A window's own tokens: half a gigabyte."""
RECURRENT_WINDOW_TOKENS = 2048
"""Those of the recurrent form, whose tokens take more. Though each window looks 192 tokens ahead, with six layers and
chunks of 32, it is faster than windows of 8,192: more of it stays in the caches."""

Windows = Iterator[tuple[np.ndarray, np.ndarray]]
"""Of each window the tokens ``[L]`` int64, and the graph's input ``window`` ``[4]`` int64: where in the text they
start, the text's length, and from which to which of them (not included) is summed."""


def flat_windows(
    pieces: Iterable[np.ndarray], tokens: int, chunk_size: int, layers: int, own_tokens: int = WINDOW_TOKENS
) -> Windows:
    """Cut a text into windows whose sums, added up, are the sum over the whole text.

    In the flat form a layer lets a token see its own chunk, two tokens before that and one token ahead. So what N
    layers make of a window's own tokens is as in the whole text if N chunks before and N tokens after are there too.

    Args:
        pieces: the text's tokens in order, ``[n]`` integers each; no more of them are held than a window needs.
        tokens: how many they are together.
        chunk_size: C, of the model.
        layers: N, of the model.
        own_tokens: of each window but the last; rounded down to chunks.

    Raises:
        InputError: there are more tokens than ``tokens``, or fewer; the windows were wrong.
    """
    own_tokens = max(1, own_tokens // chunk_size) * chunk_size
    return _windows(pieces, tokens, own_tokens, before=layers * chunk_size, after=layers)


def recurrent_windows(
    pieces: Iterable[np.ndarray],
    tokens: int,
    chunk_size: int,
    layers: int,
    own_tokens: int = RECURRENT_WINDOW_TOKENS,
) -> Windows:
    """The same for the recurrent form, in which states are carried from window to window.

    So nothing before a window's own tokens is needed. A chunk looks at all of itself and one token ahead: N layers look
    N chunks ahead.
    """
    own_tokens = max(1, own_tokens // chunk_size) * chunk_size
    return _windows(pieces, tokens, own_tokens, before=0, after=layers * chunk_size)


def unit(total: np.ndarray) -> np.ndarray:
    """The sum of a text's token embeddings ``[hidden]`` as its sentence embedding, float32."""
    return (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)


def _windows(pieces: Iterable[np.ndarray], tokens: int, own_tokens: int, before: int, after: int) -> Windows:
    coming = (piece[i : i + own_tokens] for piece in pieces for i in range(0, len(piece), own_tokens))
    held = np.zeros(0, dtype=np.int64)
    first = 0  # the place of the first token that is held
    for start in range(0, tokens, own_tokens):
        end = min(start + own_tokens, tokens)
        begin, stop = max(0, start - before), min(end + after, tokens)
        parts = [held[begin - first :]]
        first, there = begin, begin + len(parts[0])
        while there < stop:
            piece = next(coming, None)
            if piece is None:
                raise _wrong(tokens, there)
            parts.append(piece)
            there += len(piece)
        held = np.concatenate(parts, dtype=np.int64)
        yield held[: stop - begin], np.array([begin, tokens, start - begin, end - begin], dtype=np.int64)
    if found := first + len(held) - tokens + sum(len(piece) for piece in coming):
        raise _wrong(tokens, tokens + found)


def _wrong(tokens: int, found: int) -> InputError:
    return InputError(f"expected {tokens:,} tokens, as was said, found {found:,}; pass tokens={found}, or leave it out")
