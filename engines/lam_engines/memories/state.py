"""Names and states of a memory's graph. Numpy only, because servers run a copy of this file."""

from collections.abc import Iterable

import numpy as np

INPUTS = ("key", "value", "query", "store")
RECALL, STORED = "recall", "stored"
OUTPUTS = (RECALL, STORED)
STATES = ("fast", "slow", "psi")
# Triton sorts the names of inputs and of outputs, and pairs them by place. So both must sort into the same order.
PAST, PRESENT = tuple(f"past_{name}" for name in STATES), tuple(f"present_{name}" for name in STATES)


def state_shapes(heads: int, head_size: int) -> list[tuple[int, ...]]:
    """Shapes of the arrays of ``STATES``, without the batch."""
    matrices = (heads, head_size, head_size)
    return [matrices, matrices, (heads,)]


def within_range(state: Iterable[np.ndarray]) -> bool:
    """Whether float32 can hold the norms of the state's arrays. Recall divides by them."""
    with np.errstate(over="ignore"):
        return all(np.isfinite(np.linalg.norm(part)) for part in state)
