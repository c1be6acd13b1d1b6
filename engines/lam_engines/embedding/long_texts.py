"""Long texts in windows, so that memory does not grow with the text."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..bundles.manifest import ModelInfo
from ..contract import ATTENTION_MASK, INPUT_IDS, WINDOW
from ..errors import InputError

WINDOW_TOKENS = 8192
"""Tokens that a window of the flat form sums. Computing it takes half a gigabyte."""
RECURRENT_WINDOW_TOKENS = 2048
"""Tokens that a window of the recurrent form sums. A token takes more memory there. Each window also computes 192
tokens ahead (six layers, chunks of 32). Even so it is faster than windows of 8,192: more stays in the caches."""

Windows = Iterator[tuple[np.ndarray, np.ndarray]]
"""Each window's tokens ``[L]`` int64, and the graph's input ``window`` ``[4]`` int64. Its four values are: the place of
the first token in the text, the length of the text, and the first and the end (not included) of the tokens to sum."""


def flat_embedding(
    run: Callable[[dict[str, np.ndarray]], np.ndarray],
    pieces: Iterable[np.ndarray],
    tokens: int,
    chunk_size: int,
    model: ModelInfo,
) -> np.ndarray:
    """The embedding ``[hidden]`` float32 of one text in the flat form, window by window.

    Args:
        run: runs the graph on ``input_ids`` and ``attention_mask`` ``[1, L]`` and ``window`` ``[4]``, all int64. It
            gives ``[1, hidden]``: the sum over the window's own tokens.
        pieces: the text's tokens in order, ``[n]`` integers each.
        tokens: tokens of all pieces together.
        chunk_size: of the model.
        model: the bundle's.

    Raises:
        InputError: the pieces do not hold ``tokens`` tokens.
    """
    total = np.zeros(model.hidden_size)
    for part, window in flat_windows(pieces, tokens, chunk_size, model.num_hidden_layers):
        total += run({INPUT_IDS: part[None], ATTENTION_MASK: np.ones_like(part)[None], WINDOW: window})[0]
    return unit(total)


def flat_windows(
    pieces: Iterable[np.ndarray], tokens: int, chunk_size: int, layers: int, own_tokens: int = WINDOW_TOKENS
) -> Windows:
    """Cut a text into windows whose sums, added up, are the sum over the whole text.

    In the flat form, one layer lets a token see its own chunk, two tokens before the chunk and one token ahead. So a
    window gives the same values as the whole text if it also holds N chunks before and N tokens after what it sums.

    Args:
        pieces: the text's tokens in order, ``[n]`` integers each. Only as many as a window needs are held.
        tokens: tokens of all pieces together.
        chunk_size: C, of the model.
        layers: N, of the model.
        own_tokens: tokens that each window but the last sums; rounded down to whole chunks.

    Raises:
        InputError: the pieces do not hold ``tokens`` tokens. The windows given so far are wrong then.
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
    """The same for the recurrent form, whose states go from window to window.

    So a window needs no tokens before those that it sums. A chunk sees all of itself and one token ahead, so N layers
    see N chunks ahead.
    """
    own_tokens = max(1, own_tokens // chunk_size) * chunk_size
    return _windows(pieces, tokens, own_tokens, before=0, after=layers * chunk_size)


def unit(total: np.ndarray) -> np.ndarray:
    """The sentence embedding ``[hidden]`` float32 of a text, from the sum of its token embeddings."""
    return (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)


def _windows(pieces: Iterable[np.ndarray], tokens: int, own_tokens: int, before: int, after: int) -> Windows:
    coming = (piece[i : i + own_tokens] for piece in pieces for i in range(0, len(piece), own_tokens))
    held = np.zeros(0, dtype=np.int64)
    first = 0  # place in the text of the first token in ``held``
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
    return InputError(f"expected {tokens:,} tokens (tokens=), found {found:,}; pass tokens={found}, or leave it out")
