"""Requests whose texts wait in a pool or are being computed."""

import asyncio
import math
import threading
from contextlib import suppress
from time import monotonic

import numpy as np

from .errors import ApiError


class WaitingRequest:
    """A request whose texts are not all computed. Several threads may compute them."""

    def __init__(self, texts: int, hidden_size: int) -> None:
        self.vectors = np.empty((texts, hidden_size), np.float32)
        self.left = texts
        """Texts that are still wanted."""
        self.begun = math.inf
        """When its first batch began."""
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._lock = threading.Lock()

    def take(self, row: int, vector: np.ndarray) -> None:
        self.vectors[row] = vector
        with self._lock:
            self.left -= 1
            complete = self.left == 0  # below zero: the client has gone
        if complete:
            self._soon(None)

    def fail(self, error: ApiError) -> None:
        with self._lock:
            self.left = 0
        self._soon(error)

    def _soon(self, error: ApiError | None) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(self._end, error)

    def _end(self, error: ApiError | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class WaitingText:
    """One text of a request."""

    def __init__(self, request: WaitingRequest, row: int, ids: np.ndarray) -> None:
        self.request, self.row, self.ids = request, row, ids
        self.tokens = len(ids)
        self.since = monotonic()
