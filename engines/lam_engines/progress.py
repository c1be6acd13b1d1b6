"""How long work reports its progress."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Functions that long work calls. By default they do nothing."""

    begin: Callable[[str, int | None], None] = lambda step, pieces: None
    """Called when a step begins, with its name and its number of pieces. The number is None if it is not known."""
    advance: Callable[[int], None] = lambda done: None
    """Called with the number of pieces that were done since the last call."""
    tell: Callable[[str], None] = lambda text: None
    """Called with a few words about the step's speed."""
