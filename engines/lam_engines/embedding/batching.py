"""Batches of texts of like length under a token budget."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

DEFAULT_BATCH_TOKENS = 512
"""For a CPU: what 512 tokens become between two operators fits into its caches. On one core 1,024 tokens in one batch
take a quarter longer than in two of 512, and 4,096 two fifths longer."""
GPU_BATCH_TOKENS = 16_384
"""The same for a GPU; not measured."""
MAX_PADDING = 32
"""Tokens of padding in a batch on a CPU: what a batch costs by itself. One text of a few tokens takes as long as 20
tokens of a large batch on one thread, and as 30 or so on two."""
GPU_MAX_PADDING = 2048
"""The same for a GPU; not measured."""


def batches(
    lengths: Sequence[int],
    *,
    batch_tokens: int,
    batch_size: int | None = None,
    max_padding: int | None = None,
    max_batch: Callable[[int], int | None] = lambda tokens: None,
) -> Iterator[np.ndarray]:
    """Indices of the texts of each batch, the longest texts first.

    Sorting by length keeps padding out of the batches; the longest come first so that too little memory shows at the
    start of a run and not at its end.

    Args:
        lengths: tokens of each text.
        batch_tokens: at most this many tokens in a batch, padding counted; a longer text is a batch of its own.
        batch_size: at most this many texts in a batch.
        max_padding: at most this many tokens of padding in a batch; None: any. Best is what a batch costs by itself,
            in tokens: where more would be padded, one batch more is cheaper. It matters where texts are few, and
            therefore unlike.
        max_batch: tokens of a batch's longest text to how many texts the runtime takes with it; None: any number.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(sizes, kind="stable")[::-1]
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        count = max(1, min(batch_tokens // longest, batch_size or len(order), max_batch(longest) or len(order)))
        if max_padding is not None:
            padding = np.cumsum(longest - sizes[order[start : start + count]])
            count = max(1, int(np.searchsorted(padding, max_padding, side="right")))
        yield order[start : start + count]
        start += count


def windows(texts: Iterable[str], *, size: int = 4096, characters: int = 1 << 24) -> Iterator[list[str]]:
    """Cut a stream of texts into lists that fit into memory.

    Args:
        texts: read as they are needed.
        size: texts in a window; enough of them to find batches of like length.
        characters: a window ends when it holds this many, however few its texts.
    """
    window: list[str] = []
    held = 0
    for text in texts:
        window.append(text)
        held += len(text) if isinstance(text, str) else 0
        if len(window) >= size or held >= characters:
            yield window
            window, held = [], 0
    if window:
        yield window


def pad(ids: Sequence[np.ndarray], pad_token_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Right-padded ``input_ids`` and ``attention_mask``, both ``[B, L]`` int64."""
    tokens = max(1, max(len(row) for row in ids))
    input_ids = np.full((len(ids), tokens), pad_token_id, dtype=np.int64)
    attention_mask = np.zeros((len(ids), tokens), dtype=np.int64)
    for i, row in enumerate(ids):
        input_ids[i, : len(row)] = row
        attention_mask[i, : len(row)] = 1
    return input_ids, attention_mask


def bucket(count: int) -> int:
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is at least ``count``, which is at least 1.

    Powers of two and the steps half-way between them: few shapes for a runtime that prepares for each, and less than
    half as much again to compute.
    """
    power = 1 << (count - 1).bit_length()
    return power // 4 * 3 if count <= power // 4 * 3 else power


def pad_to(
    input_ids: np.ndarray, attention_mask: np.ndarray, shape: tuple[int, int], pad_token_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """A batch ``[B, L]`` int64 in one of the larger ``shape``: more padding, and rows of no tokens."""
    ids = np.full(shape, pad_token_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    rows, tokens = input_ids.shape
    ids[:rows, :tokens] = input_ids
    mask[:rows, :tokens] = attention_mask
    return ids, mask
