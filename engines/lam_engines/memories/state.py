"""A memory's graph as its callers see it: names, and what its state must be. Numpy alone, for servers too."""

from collections.abc import Iterable

import numpy as np

INPUTS = ("key", "value", "query", "store")
OUTPUTS = ("recall", "stored")
STATES = ("fast", "slow", "psi")
# Sorted, the names of both sides stand in one order, and none begins with another: Triton's server pairs them by place.
PAST, PRESENT = tuple(f"past_{name}" for name in STATES), tuple(f"present_{name}" for name in STATES)


def state_shapes(heads: int, head_size: int) -> list[tuple[int, ...]]:
    """Of the arrays of ``STATES``, without the batch."""
    matrices = (heads, head_size, head_size)
    return [matrices, matrices, (heads,)]


def within_range(state: Iterable[np.ndarray]) -> bool:
    """Whether float32 holds the norms, which recall divides by."""
    with np.errstate(over="ignore"):
        return all(np.isfinite(np.linalg.norm(part)) for part in state)
