"""The semantic textual similarity benchmark: correlation of cosines with the scores that people gave."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from .metrics import unit
from .schema import Scores, Sts

RESAMPLES = 2000
SEED = 0
_BLOCK = 2_000_000
"""Numbers in one block of resamples: 16 MB for each array."""


def cosines(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``[pairs]`` cosines of rows ``first`` with rows ``second`` of ``vectors [n, hidden]``; 0 for a row of zeros."""
    found: np.ndarray = (unit(vectors[first]) * unit(vectors[second])).sum(axis=1)
    return found


def sts(gold: Sequence[float], reference: np.ndarray, candidate: np.ndarray, *, resamples: int = RESAMPLES) -> Sts:
    """Spearman's and Pearson's correlation with the gold scores, and a 95 % interval of their change.

    The interval is the paired percentile bootstrap: pairs are drawn with replacement, the same pairs for reference and
    candidate. This removes the noise that both share (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    ch. 13). The seed is fixed, so the same embeddings give the same interval.

    Args:
        gold: ``[pairs]`` scores.
        reference, candidate: ``[pairs]`` cosines.
        resamples: how many times to draw.
    """
    from scipy.stats import rankdata

    scores = np.stack([np.asarray(gold, dtype=np.float64), reference, candidate])
    ranks = partial(rankdata, axis=-1)
    generator = np.random.default_rng(SEED)
    pairs = scores.shape[1]
    moved: dict[str, list[np.ndarray]] = {"spearman": [], "pearson": []}
    block = max(1, _BLOCK // pairs)
    for start in range(0, resamples, block):
        draws = generator.integers(pairs, size=(min(block, resamples - start), pairs))
        drawn = scores[:, draws]
        moved["pearson"].append(_difference(drawn))
        moved["spearman"].append(_difference(ranks(drawn)))

    def correlation(name: str, values: np.ndarray) -> Scores:
        before, after = (float(_pearson(values[0], values[i])) for i in (1, 2))
        low, high = np.percentile(np.concatenate(moved[name]), [2.5, 97.5])
        return Scores(reference=before, candidate=after, difference=after - before, low=float(low), high=float(high))

    return Sts(pairs=pairs, spearman=correlation("spearman", ranks(scores)), pearson=correlation("pearson", scores))


def _difference(drawn: np.ndarray) -> np.ndarray:
    """Gold, reference and candidate ``[3, resamples, pairs]`` to the difference of correlations ``[resamples]``."""
    gold, reference, candidate = drawn
    return _pearson(gold, candidate) - _pearson(gold, reference)


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation over the last axis; 0 where one of the two is constant."""
    x, y = _centred(x), _centred(y)
    product = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    found: np.ndarray = (x * y).sum(axis=-1) / np.where(product > 0, product, 1.0)
    return found


def _centred(x: np.ndarray) -> np.ndarray:
    x = x - x[..., :1]  # so that a constant becomes exactly zero, without rounding errors
    centred: np.ndarray = x - x.mean(axis=-1, keepdims=True)
    return centred
