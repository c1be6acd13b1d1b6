"""Do the nearest texts stay the nearest? What a search over the embeddings would notice."""

from dataclasses import dataclass

import numpy as np

from .schema import Neighbours

DEPTH = 10
TIE = 1e-6
"""Similarities that are nearer than this are equal: above the rounding of float32, below any difference that counts."""
_BLOCK = 256


@dataclass(frozen=True)
class Nearest:
    """The nearest texts of each text, itself left out; ``[n, k]``, nearest first."""

    index: np.ndarray
    similarity: np.ndarray
    """Cosine, float32."""


def nearest(vectors: np.ndarray, depth: int = DEPTH) -> Nearest:
    """Find the texts of the highest cosines, in blocks: of ``n x n`` similarities 256 rows are in memory at once.

    Args:
        vectors: ``[n, hidden]``, finite; a row of zeros is near to nothing.
        depth: how many; all others if there are fewer.
    """
    unit = _unit(vectors)
    k = min(depth, len(unit) - 1)
    index = np.empty((len(unit), k), dtype=np.int64)
    similarity = np.empty((len(unit), k), dtype=np.float32)
    for start in range(0, len(unit) if k else 0, _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = unit[rows] @ unit.T
        own = np.arange(len(block))
        block[own, own + start] = -np.inf
        top = np.argpartition(block, -k, axis=1)[:, -k:]
        found = np.take_along_axis(block, top, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        index[rows] = np.take_along_axis(top, order, axis=1)
        similarity[rows] = np.take_along_axis(found, order, axis=1)
    return Nearest(index, similarity)


def kept(reference: np.ndarray, expected: Nearest, found: Nearest, depth: int) -> np.ndarray:
    """Of each text's ``depth`` nearest by the candidate, the share that is as near by the reference.

    A neighbour counts if its similarity by the reference is at least that of the reference's own last neighbour,
    less :data:`TIE`. So texts that the reference sees as equally near (copies of one another) may change places.

    Args:
        reference: the reference's vectors, ``[n, hidden]``.
        expected: the reference's nearest.
        found: the candidate's.
        depth: how many of them to look at.

    Returns:
        ``[n]``, 0 to 1; 1 where there is no other text.
    """
    index = found.index[:, :depth]
    if not index.shape[1]:
        return np.ones(len(index))
    unit = _unit(reference)
    similarity = np.stack([np.einsum("nd,nd->n", unit, unit[column]) for column in index.T], axis=1)
    share: np.ndarray = (similarity >= expected.similarity[:, :depth][:, -1:] - TIE).mean(axis=1)
    return share


def recall(reference: np.ndarray, expected: Nearest, candidate: np.ndarray) -> tuple[Neighbours, np.ndarray]:
    """Compare a candidate's nearest neighbours with the reference's own.

    Args:
        reference, candidate: ``[n, hidden]``, finite; no text twice.
        expected: :func:`nearest` of the reference.

    Returns:
        The mean recalls, and each text's recall at :data:`DEPTH`, ``[n]``.
    """
    found = nearest(candidate)
    at_10 = kept(reference, expected, found, DEPTH)
    at_1 = kept(reference, expected, found, 1)
    return Neighbours(corpus=len(reference), recall_at_1=float(at_1.mean()), recall_at_10=float(at_10.mean())), at_10


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = (vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    return unit
