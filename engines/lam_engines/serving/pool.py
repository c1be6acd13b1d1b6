"""Texts that wait to be computed, and which of them go together."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """A text, by what batching must know of it."""

    @property
    def tokens(self) -> int:
        """How long it is."""


Text = TypeVar("Text", bound=Sized)


class Pool(Generic[Text]):
    """Texts from many requests. Those who compute take a batch at a time, chosen from all that are there."""

    def __init__(
        self, *, batch_tokens: int, max_padding: int, max_batch: Callable[[int], int | None], most_tokens: int
    ) -> None:
        """See :func:`batch_of_oldest`; ``most_tokens``: who adds texts waits while there are more tokens than this."""
        self._limits = (batch_tokens, max_padding, max_batch)
        self._most_tokens = most_tokens
        self._texts: list[Text] = []
        self._tokens = 0
        self._changed = threading.Condition()
        self._closed = False

    def add(self, texts: Sequence[Text]) -> None:
        """Put texts in, and wait until there is room for more. What waits outside can still be refused or time out."""
        with self._changed:
            self._texts += texts
            self._tokens += sum(text.tokens for text in texts)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._tokens <= self._most_tokens or self._closed)

    def take(self) -> list[Text]:
        """The texts of the next batch; waits for one. Empty when the pool is closed."""
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
        """Send everybody home who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def batch_of_oldest(
    lengths: Sequence[int], batch_tokens: int, max_padding: int, max_batch: Callable[[int], int | None]
) -> list[int]:
    """The oldest text and those that are nearest to it in length: nobody waits for ever, and little is padded.

    Args:
        lengths: tokens of each text, at least one text, the oldest first.
        batch_tokens: at most this many tokens in the batch, padding counted; a longer text is a batch of its own.
        max_padding: at most this many tokens of padding.
        max_batch: tokens of the longest text to how many texts can go with it; None: any number.

    Returns:
        Indices into ``lengths``.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    low = high = bisect_left(order, (lengths[0], 0), key=lambda i: (lengths[i], i))
    padding = 0
    while True:
        count, longest = high - low + 1, lengths[order[high]]
        ways = []  # padding, longest, low, high
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
