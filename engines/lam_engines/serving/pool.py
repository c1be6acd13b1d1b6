"""Texts that wait to be computed, and the choice of the next batch."""

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np


class Sized(Protocol):
    """What batching must know of a text."""

    @property
    def tokens(self) -> int:
        """Length of the text."""


Text = TypeVar("Text", bound=Sized)


class Pool(Generic[Text]):
    """Waiting texts of many requests. Each thread that computes takes one batch at a time.

    Batches are built around the oldest text and around the shortest one, in turn. So a short text waits for at most one
    batch of long ones before the short texts' turn comes, and no text waits for more than twice the batches that are
    older than it.
    """

    def __init__(self, *, batch_tokens: int, max_padding: int, max_batch: Callable[[int], int | None]) -> None:
        """Make an empty pool. See :func:`batch_around` for the arguments."""
        self._limits = (batch_tokens, max_padding, max_batch)
        self._texts: list[Text] = []
        self._tokens = 0
        self._shortest_next = False
        self._lock = threading.Lock()
        self._less = threading.Condition(self._lock)
        self._idle: list[threading.Condition] = []
        """Of the threads that wait for texts. The latest one is woken first: it knows the engine's memory best."""
        self._closed = False

    @property
    def tokens(self) -> int:
        """Tokens that wait."""
        return self._tokens

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, texts: Sequence[Text]) -> None:
        """Add texts. They are never waited for here; see :meth:`wait_for_room`."""
        with self._lock:
            self._texts += texts
            self._tokens += sum(text.tokens for text in texts)
            self._wake()

    def wait_for_room(self, most_tokens: int) -> None:
        """Wait while the pool holds more tokens than this. Further requests then wait outside, and can be refused."""
        with self._lock:
            self._less.wait_for(lambda: self._tokens <= most_tokens or self._closed)

    def remove(self, texts: Collection[Text]) -> int:
        """Forget those of the texts that still wait, and say how many they were. What is taken stays taken."""
        gone = set(map(id, texts))
        with self._lock:
            before = len(self._texts)
            self._keep([text for text in self._texts if id(text) not in gone])
            return before - len(self._texts)

    def take(self) -> list[Text]:
        """Wait for texts, and take the next batch. Empty when the pool is closed."""
        with self._lock:
            while not (self._texts or self._closed):
                self._idle.append(threading.Condition(self._lock))
                self._idle[-1].wait()
            if self._closed:
                return []
            lengths = [text.tokens for text in self._texts]
            lead = int(np.argmin(lengths)) if self._shortest_next else 0
            self._shortest_next = not self._shortest_next
            chosen = batch_around(lead, lengths, *self._limits)
            batch = [self._texts[i] for i in chosen]
            taken = set(chosen)
            self._keep([text for i, text in enumerate(self._texts) if i not in taken])
            self._wake()
            return batch

    def close(self) -> None:
        """End all waiting."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().notify()
            self._less.notify_all()

    def _keep(self, texts: list[Text]) -> None:
        self._texts = texts
        self._tokens = sum(text.tokens for text in texts)
        self._less.notify_all()

    def _wake(self) -> None:
        if self._texts and self._idle:
            self._idle.pop().notify()


def batch_around(
    lead: int, lengths: Sequence[int], batch_tokens: int, max_padding: int, max_batch: Callable[[int], int | None]
) -> list[int]:
    """A batch of one text and of those nearest to it in length.

    Args:
        lead: index of the text that must be in the batch.
        lengths: tokens of each text, the oldest first; at least one.
        batch_tokens: largest number of tokens in the batch, padding counted. A longer text is a batch of its own.
        max_padding: largest number of padding tokens in the batch.
        max_batch: gives the largest number of texts in a batch whose longest text has so many tokens; None: no limit.

    Returns:
        Indices into ``lengths``.
    """
    order = np.argsort(lengths, kind="stable").tolist()
    low = high = order.index(lead)
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
