"""Who is told how far a longer work is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Two functions that a long work calls; by default nobody is told."""

    begin: Callable[[str, int | None], None] = lambda step, pieces: None
    """A step begins, of so many pieces; None: it is not known, or one."""
    advance: Callable[[int], None] = lambda done: None
    """So many pieces more of the step are done."""
