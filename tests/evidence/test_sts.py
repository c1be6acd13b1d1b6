"""Correlations and their interval, beside scipy's own."""

import time

import numpy as np
import pytest

from lam_export.evidence.sts import cosines, sts

pytestmark = pytest.mark.needs("scipy")

RANDOM = np.random.default_rng(0)
GOLD = RANDOM.integers(0, 26, size=400) / 5  # with ties, as people give them
REFERENCE = GOLD / 5 + 0.2 * RANDOM.standard_normal(400)
CANDIDATE = REFERENCE + 0.1 * RANDOM.standard_normal(400)


def test_cosines_by_hand() -> None:
    vectors = np.array([[1, 0], [3, 4], [0, 0]], dtype=np.float32)
    assert cosines(vectors, np.array([0, 1, 2]), np.array([1, 1, 0])) == pytest.approx([0.6, 1, 0])


def test_scipy_agrees() -> None:
    from scipy import stats

    found = sts(GOLD, REFERENCE, CANDIDATE)
    assert found.pairs == 400
    for name, oracle in (("spearman", stats.spearmanr), ("pearson", stats.pearsonr)):
        correlation = getattr(found, name)
        assert correlation.reference == pytest.approx(oracle(REFERENCE, GOLD).statistic, abs=1e-12)
        assert correlation.candidate == pytest.approx(oracle(CANDIDATE, GOLD).statistic, abs=1e-12)
        assert correlation.difference == pytest.approx(correlation.candidate - correlation.reference)
        assert correlation.low < correlation.difference < correlation.high


@pytest.mark.parametrize(("name", "oracle"), [("spearman", "spearmanr"), ("pearson", "pearsonr")])
def test_scipys_bootstrap_gives_the_same_interval(name: str, oracle: str) -> None:
    from scipy import stats

    function = getattr(stats, oracle)

    def difference(gold: np.ndarray, reference: np.ndarray, candidate: np.ndarray) -> float:
        return function(candidate, gold).statistic - function(reference, gold).statistic

    interval = stats.bootstrap(
        (GOLD, REFERENCE, CANDIDATE), difference, paired=True, vectorized=False, n_resamples=1000, method="percentile"
    ).confidence_interval
    found = getattr(sts(GOLD, REFERENCE, CANDIDATE), name)
    width = interval.high - interval.low
    assert found.low == pytest.approx(interval.low, abs=0.1 * width)
    assert found.high == pytest.approx(interval.high, abs=0.1 * width)


def test_the_interval_is_of_pairs_and_not_of_each_side_alone() -> None:
    # What both have in common does not widen it: each correlation alone is known to about 0.04.
    found = sts(GOLD, REFERENCE, REFERENCE + 1e-4 * CANDIDATE)
    assert found.spearman.high - found.spearman.low < 1e-3


def test_the_same_embeddings_give_the_same_interval() -> None:
    assert sts(GOLD, REFERENCE, CANDIDATE) == sts(GOLD, REFERENCE, CANDIDATE)


def test_equal_sides_do_not_differ() -> None:
    found = sts(GOLD, REFERENCE, REFERENCE).spearman
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_constant_scores_correlate_with_nothing() -> None:
    found = sts(GOLD, REFERENCE, np.full(400, 0.1))
    assert (found.spearman.candidate, found.pearson.candidate) == (0, 0)
    few = sts([1.0, 2.0], np.array([0.1, 0.2]), np.array([0.2, 0.1]))  # resamples of one pair twice
    assert few.spearman.difference == pytest.approx(-2)


def test_a_benchmark_of_1379_pairs_takes_seconds() -> None:
    gold = np.resize(GOLD, 1379)
    start = time.perf_counter()
    sts(gold, gold + RANDOM.standard_normal(1379), gold + RANDOM.standard_normal(1379))
    assert time.perf_counter() - start < 20
