"""The worst texts and the buckets, on figures that can be worked out by hand."""

import numpy as np
import pytest

from lam_export.evidence.corpus import Text
from lam_export.evidence.metrics import row_errors
from lam_export.evidence.texts import not_finite, zero_unless_finite
from lam_export.validate.report.measures import buckets, worst_rows

# Cosines with (1, 0): 1, 0.8, 0.6, 0.
FOUND = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
EXPECTED = np.tile([1.0, 0.0], (4, 1))
TEXTS = [
    Text("a", "prose", "en"),
    Text("b", "prose", "de"),
    Text("c" * 300, "code", "en"),
    Text("d", "code", "en"),
]
TOKENS = [16, 17, 2049, 3]


def test_each_row_by_hand() -> None:
    errors = row_errors(FOUND, EXPECTED)
    assert errors.cosine == pytest.approx([1, 0.8, 0.6, 0])
    assert errors.max_abs == pytest.approx([0, 0.6, 0.8, 1])
    assert errors.relative_rms == pytest.approx([0, 0.4**0.5, 0.8**0.5, 2**0.5])


def test_a_cosine_is_never_above_one() -> None:
    vectors = np.random.default_rng(0).standard_normal((2000, 7))
    assert row_errors(vectors, vectors).cosine.max() <= 1


def test_the_worst_come_first_with_their_text_cut() -> None:
    rows = worst_rows(TEXTS, TOKENS, row_errors(FOUND, EXPECTED), count=3)
    assert [row.cosine for row in rows] == pytest.approx([0, 0.6, 0.8])
    assert [(row.text, row.kind, row.language, row.tokens) for row in rows] == [
        ("d", "code", "en", 3),
        ("c" * 200, "code", "en", 2049),
        ("b", "prose", "de", 17),
    ]


def test_buckets_by_hand() -> None:
    found = {(b.by, b.name): b for b in buckets(TEXTS, TOKENS, row_errors(FOUND, EXPECTED))}
    assert list(found) == [
        ("length", "1-16"),
        ("length", "17-64"),
        ("length", "2049+"),
        ("language", "en"),
        ("language", "de"),
        ("kind", "prose"),
        ("kind", "code"),
    ]
    short = found["length", "1-16"]
    assert (short.texts, short.worst_cosine, short.worst_max_abs) == (2, 0, 1)
    assert short.worst_relative_rms == pytest.approx(2**0.5)
    assert short.mean_cosine == pytest.approx(0.5)
    assert found["language", "en"].texts == 3
    assert found["kind", "code"].mean_cosine == pytest.approx(0.3)


def test_a_text_of_no_tokens_has_a_bucket() -> None:
    errors = row_errors(np.zeros((1, 2)), np.zeros((1, 2)))
    assert buckets(TEXTS[:1], [0], errors)[0].name == "1-16"


def test_rows_that_are_not_finite_are_counted_and_judged_as_zero() -> None:
    found = FOUND.copy()
    found[1, 0] = np.nan
    found[2] = [np.inf, -np.inf]
    assert not_finite(found) == (1, 2)
    zeroed = zero_unless_finite(found)
    assert zeroed.tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]
    errors = row_errors(zeroed, EXPECTED)
    assert errors.cosine.tolist() == [1, 0, 0, 0]
    assert errors.relative_rms[1] == 1
