"""Batches of texts of similar length under a token budget."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from ..contract import ATTENTION_MASK, INPUT_IDS
from ..errors import InputError

_Item = TypeVar("_Item")

DEFAULT_BATCH_TOKENS = 512
"""Default on a CPU. The activations of 512 tokens fit into its caches. On one core, a batch of 1,024 tokens takes a
quarter longer than two of 512, and one of 4,096 takes two fifths longer than eight."""
GPU_BATCH_TOKENS = 16_384
"""Default on a GPU; not measured."""
MAX_PADDING = 32
"""Start a new batch when padding would exceed this, on a CPU. A batch's fixed cost is about 20 tokens on one thread and
about 30 on two."""
GPU_MAX_PADDING = 2048
"""The same on a GPU; not measured."""


def batches(
    lengths: Sequence[int],
    *,
    batch_tokens: int,
    batch_size: int | None = None,
    max_padding: int | None = None,
    max_batch: Callable[[int], int | None] = lambda tokens: None,
) -> Iterator[np.ndarray]:
    """Indices of the texts of each batch, the longest texts first.

    Texts are sorted by length, so that batches need little padding. The longest come first, so that a lack of memory
    shows at the start of a run.

    Args:
        lengths: tokens of each text.
        batch_tokens: largest number of tokens in a batch, padding counted. A longer text is a batch of its own.
        batch_size: largest number of texts in a batch.
        max_padding: largest number of padding tokens in a batch; None: no limit. Best is a batch's fixed cost in
            tokens: with more padding, a second batch is cheaper. The limit matters where few texts are sorted, because
            their lengths differ more.
        max_batch: gives the largest number of texts in a batch whose longest text has so many tokens; None: no limit.
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


def windows(
    items: Iterable[_Item],
    *,
    size: int = 4096,
    characters: int = 1 << 24,
    measure: Callable[[Any], int] = len,
) -> Iterator[list[_Item]]:
    """Cut a stream of texts, or of rows with texts, into lists that fit into memory.

    Args:
        items: read only as needed.
        size: largest number of items in a window. Many texts give batches of similar length.
        characters: a window also ends when it holds this many characters.
        measure: gives the characters of an item.
    """
    window: list[_Item] = []
    held = 0
    for item in items:
        window.append(item)
        held += measure(item)
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
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is at least ``count``; ``count`` is at least 1.

    These are the powers of two and the steps half-way between them. A runtime that prepares for each shape sees few
    shapes, and computes less than 1.5 times the tokens.
    """
    power = 1 << (count - 1).bit_length()
    return power // 4 * 3 if count <= power // 4 * 3 else power


def pad_to(
    input_ids: np.ndarray, attention_mask: np.ndarray, shape: tuple[int, int], pad_token_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """A batch ``[B, L]`` int64, padded to the larger ``shape`` with padding tokens and with empty rows."""
    ids = np.full(shape, pad_token_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    rows, tokens = input_ids.shape
    ids[:rows, :tokens] = input_ids
    mask[:rows, :tokens] = attention_mask
    return ids, mask


def checked_ids(
    input_ids: np.ndarray, attention_mask: np.ndarray | None, *, vocab_size: int, pad_token_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """What a caller tokenised, as ``[B, L]`` int64: ids with the model's padding, and their mask.

    Raises:
        InputError: wrong shape or dtype, an id out of range, or padding that is not on the right.
    """
    ids = _integers(INPUT_IDS, input_ids)
    mask = np.ones_like(ids) if attention_mask is None else _integers(ATTENTION_MASK, attention_mask)
    if mask.shape != ids.shape:
        raise InputError(f"expected {ATTENTION_MASK} of shape {list(ids.shape)}, found {list(mask.shape)}")
    if mask.size and (mask.min() < 0 or mask.max() > 1 or (np.diff(mask, axis=1) > 0).any()):
        raise InputError(
            f"expected an {ATTENTION_MASK} of ones then zeros in every row (padding on the right), found other "
            f"rows; set the tokenizer's padding side to right"
        )
    valid = ids[mask == 1]
    if valid.size and (valid.min() < 0 or valid.max() >= vocab_size):
        raise InputError(
            f"expected token ids 0 to {vocab_size - 1}, found {valid.min()} to {valid.max()}; "
            f"tokenise with the bundle's tokenizer.json"
        )
    return np.where(mask == 1, ids, pad_token_id), mask


def _integers(name: str, values: np.ndarray) -> np.ndarray:
    """``values`` as ``[B, L]`` int64; ``name`` is theirs in errors.

    Raises:
        InputError: they are something else.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError):
        raise InputError(
            f"expected {name} as integers [batch, tokens], found rows of unlike length; pad them"
        ) from None
    if array.ndim != 2 or not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool or not array.size):
        raise InputError(f"expected {name} as integers [batch, tokens], found {array.dtype} {list(array.shape)}")
    return array.astype(np.int64)
