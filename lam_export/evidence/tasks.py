"""Tasks of textual similarity and of retrieval, and the scores that mteb ranks models by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from .metrics import unit
from .schema import TaskScore
from .sts import RESAMPLES, SEED, cosines, sts

DEPTH = 10
"""Documents of a query that nDCG looks at."""


@dataclass(frozen=True)
class StsTask:
    """Pairs of texts whose similarity people judged."""

    name: str
    pairs: tuple[tuple[str, str, float], ...]
    """Two texts and their gold score."""

    @property
    def texts(self) -> Iterator[str]:
        """All texts, in order."""
        return chain.from_iterable(pair[:2] for pair in self.pairs)

    def score(self, index: Mapping[str, int], reference: np.ndarray, candidate: np.ndarray) -> TaskScore:
        """Spearman's correlation of both sides; see :func:`sts`."""
        one, other, gold = zip(*self.pairs, strict=True)
        first, second = (np.array([index[text] for text in texts]) for texts in (one, other))
        found = sts(gold, *(cosines(vectors, first, second) for vectors in (reference, candidate))).spearman
        return TaskScore(task=self.name, measure="Spearman", cases=len(gold), documents=None, **found.model_dump())


@dataclass(frozen=True)
class RetrievalTask:
    """Queries, documents, and which documents answer which query."""

    name: str
    documents: Mapping[str, str]
    """Text of each document, by identifier."""
    queries: Mapping[str, str]
    """Text of each query that has relevant documents, by identifier."""
    relevance: Mapping[str, Mapping[str, float]]
    """By query, how relevant each of its documents is."""

    @property
    def texts(self) -> Iterator[str]:
        """All texts, queries first."""
        return chain(self.queries.values(), self.documents.values())

    def score(self, index: Mapping[str, int], reference: np.ndarray, candidate: np.ndarray) -> TaskScore:
        """The mean nDCG@10 of both sides, with a 95 % interval of the difference from a paired bootstrap over queries.

        Args:
            index: row of each text.
            reference, candidate: ``[texts, hidden]``, finite.
        """
        before, after = (self.ndcg(index, vectors) for vectors in (reference, candidate))
        generator, moved = np.random.default_rng(SEED), after - before
        means = [moved[generator.integers(len(moved), size=len(moved))].mean() for _ in range(RESAMPLES)]
        low, high = np.percentile(means, [2.5, 97.5])
        return TaskScore(
            task=self.name,
            measure="nDCG@10",
            cases=len(self.queries),
            documents=len(self.documents),
            reference=float(before.mean()),
            candidate=float(after.mean()),
            difference=float(moved.mean()),
            low=float(low),
            high=float(high),
        )

    def ndcg(self, index: Mapping[str, int], vectors: np.ndarray) -> np.ndarray:
        """Each query's normalised discounted cumulative gain at 10, ``[queries]``, as trec_eval's ``ndcg_cut_10``.

        A document's gain is its relevance, divided by ``log2(rank + 1)``. Of documents that are equally near, the one
        with the greater identifier comes first. A relevant document that is not in the corpus counts as not found.
        """
        names = sorted(self.documents, reverse=True)
        # A text that several documents have is compared once, so that they are equally near to the last bit.
        rows, place = np.unique([index[self.documents[name]] for name in names], return_inverse=True)
        documents = unit(vectors[rows])
        discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
        found = []
        for query, text in self.queries.items():
            relevance = self.relevance[query]
            nearest = _nearest((documents @ unit(vectors[index[text]]))[place])
            gains = [max(relevance.get(names[i], 0.0), 0.0) for i in nearest]
            ideal = _gain(sorted((max(gain, 0.0) for gain in relevance.values()), reverse=True), discounts)
            found.append(_gain(gains, discounts) / ideal if ideal else 0.0)
        return np.array(found)


Task = StsTask | RetrievalTask


def _nearest(similarity: np.ndarray) -> np.ndarray:
    """The first 10 by similarity; of equals, those that come first."""
    k = min(DEPTH, len(similarity))
    enough = np.flatnonzero(similarity >= np.partition(similarity, -k)[-k])
    return enough[np.argsort(-similarity[enough], kind="stable")[:k]]


def _gain(gains: Sequence[float], discounts: np.ndarray) -> float:
    first = gains[:DEPTH]
    return float(np.dot(first, discounts[: len(first)]))
