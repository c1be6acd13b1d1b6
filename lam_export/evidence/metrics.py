"""How far two sets of embeddings are apart, row by row."""

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from polygraphy.comparator import IterationResult


@dataclass(frozen=True)
class Thresholds:
    """What an artefact must hold in every row."""

    max_abs: float = 2e-5
    cosine: float = 0.999999


THRESHOLDS = {
    "fp32": Thresholds(),
    "fp16": Thresholds(max_abs=2e-3, cosine=0.9995),
    "bf16": Thresholds(max_abs=math.inf, cosine=0.9995),
    "int8": Thresholds(max_abs=0.05, cosine=0.99),
}
"""By the precision of a graph.

int8 is of another kind than the others: 8 bits do lose something. The demo model's worst text of a parity run has a
cosine of 0.9974 and a max-abs of 0.024, the worst of 2,758 STS sentences 0.9956 and 0.021. The threshold allows twice
that loss (1 - cosine), for a model that bears 8 bits less well. ONNX Runtime's own dynamic quantisation does not hold
it: 0.988 in a parity run, 0.906 with one scale for a matrix.
"""


@dataclass(frozen=True)
class EmbeddingDiff:
    """The worst row of a comparison, of each measure of :class:`RowErrors`. True if it is within the thresholds."""

    max_abs: float
    relative_rms: float
    cosine: float
    passed: bool

    def __bool__(self) -> bool:
        return self.passed


@dataclass(frozen=True)
class RowErrors:
    """How far each row is from its reference; ``[n]`` float64 each."""

    max_abs: np.ndarray
    """Largest difference of an element, in units of the reference row's length (1 for a sentence embedding)."""
    relative_rms: np.ndarray
    """Root of the squared difference over the squared reference."""
    cosine: np.ndarray
    """At most 1; 1 where both rows are zero."""


def row_errors(found: np.ndarray, expected: np.ndarray) -> RowErrors:
    """Compare embeddings row by row, in float64. A row that holds NaN has NaN for errors.

    Args:
        found, expected: ``[..., hidden]`` of one shape.
    """
    if found.shape != expected.shape:
        raise ValueError(f"expected shape {expected.shape}, found {found.shape}")
    a = found.reshape(-1, found.shape[-1]).astype(np.float64)
    b = expected.reshape(-1, expected.shape[-1]).astype(np.float64)
    norm_a, norm_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    scale = np.where(norm_b > 0, norm_b, 1.0)
    both_zero = (norm_a == 0) & (norm_b == 0)
    product = np.where(both_zero, 1.0, norm_a * norm_b)
    cosine = np.where(both_zero, 1.0, (a * b).sum(axis=1) / np.where(product > 0, product, np.inf))
    return RowErrors(
        max_abs=np.abs(a - b).max(axis=1) / scale,
        relative_rms=np.linalg.norm(a - b, axis=1) / scale,
        cosine=np.minimum(cosine, 1.0),
    )


def diff(found: np.ndarray, expected: np.ndarray, thresholds: Thresholds) -> EmbeddingDiff:
    """Compare embeddings in float64; NaN fails.

    Each row is judged alone: over a whole batch, one bad row would hide among good ones.

    Args:
        found, expected: ``[..., hidden]`` of one shape.
        thresholds: for the worst row.
    """
    rows = row_errors(found, expected)
    max_abs, cosine = float(rows.max_abs.max()), float(rows.cosine.min())
    return EmbeddingDiff(
        max_abs,
        float(rows.relative_rms.max()),
        cosine,
        passed=max_abs <= thresholds.max_abs and cosine >= thresholds.cosine,
    )


class CompareEmbeddings:
    """A comparison function for Polygraphy's ``Comparator``: the second runner against the first, the reference."""

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds

    def __call__(self, expected: IterationResult, found: IterationResult) -> "OrderedDict[str, EmbeddingDiff]":
        return OrderedDict(
            (name, diff(np.asarray(found[name]), np.asarray(expected[name]), self.thresholds)) for name in found
        )
