"""Long texts in windows, so that memory does not grow with the text."""

from collections.abc import Iterator

import numpy as np

WINDOW_TOKENS = 8192
"""A window's own tokens: half a gigabyte."""


def text_windows(
    ids: np.ndarray, chunk_size: int, layers: int, own_tokens: int = WINDOW_TOKENS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut a text into windows whose sums, added up, are the sum over the whole text.

    In the flat form a layer lets a token see its own chunk, two tokens before that and one token ahead. So what N
    layers make of a window's own tokens is as in the whole text if N chunks before and N tokens after are there too.

    Args:
        ids: ``[n]`` int64, the tokens of one text.
        chunk_size: C, of the model.
        layers: N, of the model.
        own_tokens: of each window but the last; rounded down to chunks.

    Yields:
        The window's tokens ``[L]``, and the graph's input ``window`` ``[4]`` int64: where in the text they start, the
        text's length, and from which to which of them (not included) is summed.
    """
    own_tokens = max(1, own_tokens // chunk_size) * chunk_size
    for start in range(0, len(ids), own_tokens):
        end = min(start + own_tokens, len(ids))
        first = max(0, start - layers * chunk_size)
        window = np.array([first, len(ids), start - first, end - first], dtype=np.int64)
        yield ids[first : end + layers], window
