"""Texts that wait to be computed, and the choice of the next batch."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What batching must know of a text."""

    @property
    def tokens(self) -> int:
        """Length of the text."""


Text = TypeVar("Text", bound=Sized)


class Pool(Generic[Text]):
    """Waiting texts of many requests. Each thread that computes takes one batch at a time."""

    def __init__(
        self, *, batch_tokens: int, max_padding: int, max_batch: Callable[[int], int | None], most_tokens: int
    ) -> None:
        """Make an empty pool.

        Args:
            batch_tokens: see :func:`batch_of_oldest`.
            max_padding: see :func:`batch_of_oldest`.
            max_batch: see :func:`batch_of_oldest`.
            most_tokens: :meth:`add` waits while the pool holds more tokens than this.
        """
        self._limits = (batch_tokens, max_padding, max_batch)
        self._most_tokens = most_tokens
        self._texts: list[Text] = []
        self._tokens = 0
        self._changed = threading.Condition()
        self._closed = False

    def add(self, texts: Sequence[Text]) -> None:
        """Add texts, and wait until there is room for more.

        So further requests wait outside, where they can still be refused or time out.
        """
        with self._changed:
            self._texts += texts
            self._tokens += sum(text.tokens for text in texts)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._tokens <= self._most_tokens or self._closed)

    def take(self) -> list[Text]:
        """Wait for texts, and take the next batch. Empty when the pool is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._texts or self._closed)
            if self._closed:
                return []
            chosen = batch_of_oldest([text.tokens for text in self._texts], *self._limits)
            batch = [self._texts[i] for i in chosen]
            taken = set(chosen)
            self._texts = [text for i, text in enumerate(self._texts) if i not in taken]
            self._tokens -= sum(text.tokens for text in batch)
            self._changed.notify_all()
            return batch

    def close(self) -> None:
        """End all waiting in :meth:`add` and :meth:`take`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def batch_of_oldest(
    lengths: Sequence[int], batch_tokens: int, max_padding: int, max_batch: Callable[[int], int | None]
) -> list[int]:
    """A batch of the oldest text and of those nearest to it in length, so that no text waits for ever.

    Args:
        lengths: tokens of each text, the oldest first; at least one.
        batch_tokens: largest number of tokens in the batch, padding counted. A longer text is a batch of its own.
        max_padding: largest number of padding tokens in the batch.
        max_batch: gives the largest number of texts in a batch whose longest text has so many tokens; None: no limit.

    Returns:
        Indices into ``lengths``.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    low = high = bisect_left(order, (lengths[0], 0), key=lambda i: (lengths[i], i))
    padding = 0
    while True:
        count, longest = high - low + 1, lengths[order[high]]
        ways = []  # ways to add one text, each as (padding, longest, low, high)
        if low > 0:
            ways.append((padding + longest - lengths[order[low - 1]], longest, low - 1, high))
        if high + 1 < len(order):
            longer = lengths[order[high + 1]]
            ways.append((padding + (longer - longest) * count, longer, low, high + 1))
        fitting = [
            way
            for way in ways
            if way[0] <= max_padding
            and way[1] * (count + 1) <= batch_tokens
            and count < (max_batch(way[1]) or len(lengths))
        ]
        if not fitting:
            return order[low : high + 1]
        padding, _, low, high = min(fitting)
