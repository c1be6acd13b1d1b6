"""Compare what a memory's graph recalls with what the reference recalls."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime
import torch

from lam_engines.memories.state import INPUTS, OUTPUTS, PAST, PRESENT
from lam_engines.runtimes.onnxruntime.session import session_options
from lam_export.evidence.metrics import EmbeddingDiff, Thresholds, diff, worst_of
from lam_export.model.memory_step import Memory

THRESHOLDS = Thresholds(max_abs=5e-5, cosine=0.99999)
STEPS = 300
"""Number of stores in the comparison; a recall follows each."""


def memory_errors(graph: bytes, memory: Memory) -> EmbeddingDiff:
    """Run a graph in ONNX Runtime beside the reference for :data:`STEPS` stores, starting with an empty memory.

    The batch holds two memories. One gets vectors of unit length, as embeddings have. The other gets vectors of a
    hidden state's length and skips every third store. Graph and reference each continue from their own state.

    Args:
        graph: a serialised ONNX model.
        memory: the reference. It is converted to float64 in place.

    Returns:
        The worst row's, over all outputs and steps. It is true if every row is within :data:`THRESHOLDS`.
    """
    with _one_thread():
        return _compared(graph, memory.double())


@torch.inference_mode()
def _compared(graph: bytes, reference: Memory) -> EmbeddingDiff:
    session = onnxruntime.InferenceSession(graph, session_options(1), providers=["CPUExecutionProvider"])
    hidden = reference.heads * reference.head_size
    random = np.random.default_rng(0)
    lengths = np.array([[1.0], [hidden**0.5 / 2]])
    expected = [part.numpy() for part in reference.empty(2)]
    state = [part.astype(np.float32) for part in expected]
    diffs: list[EmbeddingDiff] = []
    for step in range(STEPS):
        vectors = random.standard_normal((4, 2, hidden))
        vectors = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True) * lengths).astype(np.float32)
        flag = np.array([[True], [step % 3 != 2]])
        given = [vectors[0], vectors[1], vectors[2:].swapaxes(0, 1), flag]
        feed = dict(zip([*INPUTS, *PAST], [*given, *state], strict=True))
        found = session.run([*OUTPUTS, *PRESENT], feed)
        wide = [
            torch.from_numpy(array) for array in (*(part.astype(np.float64) for part in given[:3]), flag, *expected)
        ]
        right = [part.numpy() for part in reference(*wide)]
        state, expected = found[len(OUTPUTS) :], right[len(OUTPUTS) :]
        diffs += [diff(a.reshape(2, -1), b.reshape(2, -1), THRESHOLDS) for a, b in zip(found, right, strict=True)]
    return worst_of(diffs)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread. The products are so small that threads would only wait: ten times faster on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
