"""What the tests of served models share."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_WORDS = "the cat sleeps a man is reading red book music dog runs water old house"
_ODD = ["", " ", "a\0b", "😀 東 ж", "\ud800", "cat\r\ncat", "the dog runs " * 300]
CLOSE = {"rtol": 0, "atol": 1e-5}
"""What a served embedding may be off the engine's own."""


def mixed(count: int) -> list[str]:
    """Texts of one to 120 words, and some that few expect."""
    random = np.random.default_rng(0)
    prose = [" ".join(random.choice(_WORDS.split(), random.integers(1, 120))) for _ in range(count - len(_ODD))]
    return [*prose, *_ODD]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that takes connections and does nothing with them."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
