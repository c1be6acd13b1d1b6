"""Requests whose texts wait in a pool or are being computed."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic

import numpy as np

from .errors import ApiError


class WaitingRequest:
    """A request whose texts are not all computed. It belongs to the event loop that made it."""

    def __init__(self, texts: int, hidden_size: int) -> None:
        self.vectors = np.empty((texts, hidden_size), np.float32)
        self.left = texts
        """Texts that are still wanted. The threads that compute read it."""
        self.begun = math.inf
        """When its first batch began."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, row: int, vector: np.ndarray) -> None:
        self.vectors[row] = vector
        self.left -= 1
        if self.left == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: ApiError) -> None:
        self.left = 0
        if not self.done.done():
            self.done.set_exception(error)


class WaitingText:
    """One text of a request."""

    def __init__(self, request: WaitingRequest, row: int, ids: np.ndarray) -> None:
        self.request, self.row, self.ids = request, row, ids
        self.tokens = len(ids)
        self.since = monotonic()


@dataclass(frozen=True)
class Embedded:
    """The answer to a request's texts, in their order."""

    vectors: np.ndarray
    """Embeddings ``[n, hidden]`` float32 of unit length."""
    tokens: np.ndarray
    """Tokens of each text that were embedded, special tokens included; ``[n]`` int32."""
    truncated: np.ndarray
    """Whether each text was cut; ``[n]`` bool."""
    begun: float
    """When its first stage began, by the monotonic clock."""
    seconds: Mapping[str, float]
    """Seconds that the request spent in each stage, in order; ``queue`` ends with its first batch."""
