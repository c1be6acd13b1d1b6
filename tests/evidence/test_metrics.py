"""The comparison itself: what it must catch."""

import numpy as np
import pytest

from lam_export.evidence.metrics import Thresholds, diff

RANDOM = np.random.default_rng(0)


def unit(rows: int, hidden: int = 384) -> np.ndarray:
    x = RANDOM.standard_normal((rows, hidden))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_equal_embeddings_pass() -> None:
    x = unit(5)
    result = diff(x, x, Thresholds())
    assert result
    assert (result.max_abs, result.relative_rms) == (0, 0)
    assert result.cosine == pytest.approx(1)


def test_rounding_to_float32_passes() -> None:
    x = unit(5)
    assert diff(x.astype(np.float32), x, Thresholds())


def test_one_bad_row_among_many_fails() -> None:
    x = unit(10_000)
    y = x.copy()
    y[77] = unit(1)
    result = diff(y, x, Thresholds())
    assert not result
    assert result.cosine < 0.5
    whole = (x * y).sum() / np.linalg.norm(x) / np.linalg.norm(y)
    assert whole > 0.999, "over the batch as one vector it would hide"


def test_nan_fails() -> None:
    x = unit(3)
    y = x.copy()
    y[1, 5] = np.nan
    assert not diff(y, x, Thresholds())


def test_a_zero_row_fails_unless_zero_was_expected() -> None:
    x = unit(3)
    zeroed = x.copy()
    zeroed[1] = 0
    assert not diff(zeroed, x, Thresholds())
    assert diff(zeroed, zeroed, Thresholds())


def test_max_abs_is_relative_to_the_rows_length() -> None:
    x = unit(2) * [[1.0], [1000.0]]
    y = x.copy()
    y[1, 0] += 0.01
    assert diff(y, x, Thresholds()).max_abs == pytest.approx(1e-5)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        diff(unit(2), unit(3), Thresholds())
