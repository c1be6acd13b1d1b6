"""How much two sets of embeddings differ, row by row."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a machine that only measures may not have it
    from polygraphy.comparator import IterationResult


@dataclass(frozen=True)
class Thresholds:
    """The limits that every row of an artefact's embeddings must hold."""

    max_abs: float = 2e-5
    """Largest allowed difference of an element."""
    cosine: float = 0.999999
    """Smallest allowed cosine."""

    def beside(self, found: "EmbeddingDiff") -> str:
        """What was found and what is allowed, in words."""
        return (
            f"max-abs {found.max_abs:.1e} (at most {self.max_abs:.0e}), cosine {found.cosine:.7f} (at least "
            f"{self.cosine})"
        )


THRESHOLDS = {
    "fp32": Thresholds(),
    "fp16": Thresholds(max_abs=2e-3, cosine=0.9995),
    "bf16": Thresholds(max_abs=math.inf, cosine=0.9995),
    "int8": Thresholds(max_abs=0.05, cosine=0.99),
}
"""Thresholds by the precision of a graph.

int8 is wider than the others, because 8 bits lose accuracy. In a parity run of the demo model, the worst text has a
cosine of 0.9974 and a max-abs of 0.024; the worst of 2,758 STS sentences has 0.9956 and 0.021. The threshold allows
about twice that loss (1 - cosine), for models that lose more in 8 bits. ONNX Runtime's own dynamic quantisation misses
the threshold: its cosine is 0.988 in a parity run, and 0.906 with one scale for each matrix.
"""


@dataclass(frozen=True)
class EmbeddingDiff:
    """The worst value of each measure of :class:`RowErrors`. It is true if it is within the thresholds."""

    max_abs: float
    relative_rms: float
    cosine: float
    passed: bool

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        """What differs most, in words."""
        return f"max-abs {self.max_abs:.1e}, 1 - cosine {1 - self.cosine:.1e}"

    @property
    def figures(self) -> dict[str, float]:
        """The measures by name, as a manifest keeps them."""
        return {"max_abs": self.max_abs, "relative_rms": self.relative_rms, "cosine": self.cosine}


@dataclass(frozen=True)
class RowErrors:
    """How far each row is from its reference; ``[n]`` float64 each."""

    max_abs: np.ndarray
    """Largest difference of an element, divided by the reference row's length (1 for a sentence embedding)."""
    relative_rms: np.ndarray
    """Length of the difference, divided by the reference row's length."""
    cosine: np.ndarray
    """Cosine of the two rows, at most 1; 1 where both rows are zero."""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors ``[..., hidden]`` brought to unit length, in float64. Zeros stay zero."""
    vectors = vectors.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: np.ndarray = vectors / np.where(norms > 0, norms, 1.0)
    return found


def row_errors(found: np.ndarray, expected: np.ndarray) -> RowErrors:
    """Compare embeddings row by row, in float64. The errors of a row that holds NaN are NaN.

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

    Each row is judged alone. An average over a batch would hide one bad row among good ones.

    Args:
        found, expected: ``[..., hidden]`` of one shape.
        thresholds: the limits of the worst row.
    """
    rows = row_errors(found, expected)
    max_abs, cosine = float(rows.max_abs.max()), float(rows.cosine.min())
    return EmbeddingDiff(
        max_abs,
        float(rows.relative_rms.max()),
        cosine,
        passed=max_abs <= thresholds.max_abs and cosine >= thresholds.cosine,
    )


def worst_of(diffs: Sequence[EmbeddingDiff]) -> EmbeddingDiff:
    """The worst value of each measure, NaN if one is NaN. It is true if all are."""
    return EmbeddingDiff(
        float(np.max([found.max_abs for found in diffs])),
        float(np.max([found.relative_rms for found in diffs])),
        float(np.min([found.cosine for found in diffs])),
        passed=all(diffs),
    )


class CompareEmbeddings:
    """A comparison function for Polygraphy's ``Comparator``. The first runner is the reference of the second."""

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds

    def __call__(self, expected: "IterationResult", found: "IterationResult") -> "OrderedDict[str, EmbeddingDiff]":
        return OrderedDict(
            (name, diff(np.asarray(found[name]), np.asarray(expected[name]), self.thresholds)) for name in found
        )
