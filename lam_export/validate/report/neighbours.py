"""How many nearest texts stay the nearest: the change that a search over the embeddings would notice."""

from dataclasses import dataclass

import numpy as np

from lam_export.evidence.metrics import unit

from .schema import Neighbours

DEPTH = 10
"""Number of nearest texts that are compared."""
TIE = 1e-6
"""Similarities count as equal below this difference. It exceeds the rounding of float32, and is too small to matter."""
_BLOCK = 256


@dataclass(frozen=True)
class Nearest:
    """The nearest texts of each text, without the text itself: ``[n, k]``, nearest first."""

    index: np.ndarray
    """Index of the nearest texts, int64."""
    similarity: np.ndarray
    """Cosine of the nearest texts, float32."""


def nearest(vectors: np.ndarray, depth: int = DEPTH) -> Nearest:
    """Find the texts with the highest cosines. Only 256 rows of the ``n x n`` similarities are in memory at once.

    Args:
        vectors: ``[n, hidden]``, finite. A row of zeros is near to nothing.
        depth: number of nearest texts; all other texts if there are fewer.
    """
    directions = unit(vectors).astype(np.float32)
    k = min(depth, len(directions) - 1)
    index = np.empty((len(directions), k), dtype=np.int64)
    similarity = np.empty((len(directions), k), dtype=np.float32)
    for start in range(0, len(directions) if k else 0, _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = directions[rows] @ directions.T
        own = np.arange(len(block))
        block[own, own + start] = -np.inf
        top = np.argpartition(block, -k, axis=1)[:, -k:]
        found = np.take_along_axis(block, top, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        index[rows] = np.take_along_axis(top, order, axis=1)
        similarity[rows] = np.take_along_axis(found, order, axis=1)
    return Nearest(index, similarity)


def kept(reference: np.ndarray, expected: Nearest, found: Nearest, depth: int) -> np.ndarray:
    """The share of each text's ``depth`` nearest texts that the candidate keeps.

    A neighbour counts as kept if, by the reference, it is at least as near as the last of the reference's own
    neighbours, less :data:`TIE`. So texts that are equally near by the reference, such as copies, may change
    places.

    Args:
        reference: the reference's vectors, ``[n, hidden]``.
        expected: the nearest texts by the reference.
        found: the nearest texts by the candidate.
        depth: number of nearest texts to compare.

    Returns:
        ``[n]`` from 0 to 1; 1 where there is no other text.
    """
    index = found.index[:, :depth]
    if not index.shape[1]:
        return np.ones(len(index))
    directions = unit(reference).astype(np.float32)
    similarity = np.stack([np.einsum("nd,nd->n", directions, directions[column]) for column in index.T], axis=1)
    share: np.ndarray = (similarity >= expected.similarity[:, :depth][:, -1:] - TIE).mean(axis=1)
    return share


def recall(reference: np.ndarray, expected: Nearest, candidate: np.ndarray) -> tuple[Neighbours, np.ndarray]:
    """Compare the nearest texts by a candidate with those by the reference.

    Args:
        reference, candidate: ``[n, hidden]``, finite. No text occurs twice.
        expected: :func:`nearest` of the reference.

    Returns:
        The mean recalls, and each text's recall at :data:`DEPTH`, ``[n]``.
    """
    found = nearest(candidate)
    at_10 = kept(reference, expected, found, DEPTH)
    at_1 = kept(reference, expected, found, 1)
    return Neighbours(corpus=len(reference), recall_at_1=float(at_1.mean()), recall_at_10=float(at_10.mean())), at_10
