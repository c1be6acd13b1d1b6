"""Recall of nearest neighbours: by hand, by brute force, and with ties."""

import numpy as np
import pytest

from lam_export.validate.report import neighbours
from lam_export.validate.report.neighbours import nearest, recall


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def figures(reference: np.ndarray, candidate: np.ndarray) -> tuple[float, float]:
    found, _ = recall(reference, nearest(reference), candidate)
    assert found.corpus == len(reference)
    return found.recall_at_1, found.recall_at_10


def test_by_hand() -> None:
    # Nearest by the reference: 0 <-> 10, 50 <-> 70. The candidate moves the last text to 20: the nearest of the
    # second becomes the last instead of the first, and that of the last the second.
    reference, candidate = on_circle(0, 10, 50, 70), on_circle(0, 12, 50, 20)
    found = nearest(reference, depth=1)
    assert found.index[:, 0].tolist() == [1, 0, 3, 2]
    assert found.similarity[:, 0] == pytest.approx(np.cos(np.radians([10, 10, 20, 20])))
    assert nearest(candidate, depth=1).index[:, 0].tolist() == [1, 3, 3, 1]
    assert figures(reference, candidate) == (0.5, 1.0), "all three others are within ten"


def test_equal_and_rescaled_embeddings_lose_nothing() -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 16))
    assert figures(vectors, vectors) == (1, 1)
    assert figures(vectors, 3 * vectors.astype(np.float32)) == (1, 1)


def test_brute_force_agrees_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK", 64)
    generator = np.random.default_rng(1)
    reference = generator.standard_normal((300, 16))
    candidate = reference + 0.2 * generator.standard_normal(reference.shape)

    def brute_force(vectors: np.ndarray, depth: int) -> np.ndarray:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.argsort(-(unit @ unit.T - 3 * np.eye(len(unit))), axis=1)[:, :depth]

    assert np.array_equal(nearest(reference).index, brute_force(reference, 10))
    expected = []
    for depth in (1, 10):
        both = zip(brute_force(reference, depth), brute_force(candidate, depth), strict=True)
        expected.append(np.mean([len({*a} & {*b}) / depth for a, b in both]))
    assert figures(reference, candidate) == pytest.approx(tuple(expected))
    assert 0.3 < expected[1] < 0.9


def test_copies_may_change_places() -> None:
    # Twelve copies of one text: which ten of the eleven others are named is chance.
    reference = np.concatenate([on_circle(*[30] * 12), on_circle(200, 210)])
    candidate = reference + np.random.default_rng(2).normal(scale=1e-7, size=reference.shape)
    order = nearest(candidate).index[0].tolist() != nearest(reference).index[0].tolist()
    assert order, "the test must see another order"
    assert figures(reference, candidate) == (1, 1)


def test_a_candidate_of_zeros_loses_nearly_all() -> None:
    reference = np.random.default_rng(3).standard_normal((500, 16))
    assert figures(reference, np.zeros_like(reference))[1] < 0.1


@pytest.mark.parametrize("texts", [1, 2])
def test_a_corpus_of_one_or_two(texts: int) -> None:
    assert figures(on_circle(*range(texts)), on_circle(*range(texts))) == (1, 1)
