"""When a change is kept."""

from pathlib import Path

import numpy as np
import pytest

from lam_engines import load_engine
from lam_export.bench.gate.protocol import Speed, compare_speed, objections
from lam_export.bench.timing import side_by_side
from lam_export.evidence.metrics import Thresholds


def speed(overall: float, low: float) -> Speed:
    return Speed(speedups={}, speedup=overall, low=low, high=2 * overall - low)


@pytest.mark.parametrize(
    ("score", "found", "reasons"),
    [
        (0.8, speed(1.2, 1.1), 0),
        (0.7991, speed(1.2, 1.1), 0),
        (0.9, speed(1.2, 1.1), 0),
        (0.7989, speed(1.2, 1.1), 1),
        (0.8, speed(1.1, 1.0), 1),
        (0.7, speed(0.9, 0.8), 2),
    ],
)
def test_score_and_speed_must_both_hold(score: float, found: Speed, reasons: int) -> None:
    assert len(objections(0.8, score, found)) == reasons


def test_reasons_say_by_how_much() -> None:
    score, faster = objections(0.8, 0.79, speed(1.05, 0.98))
    assert score == "score 0.7900 is 0.0100 below the baseline's 0.8000; at most 0.001 may be lost"
    assert faster.startswith("1.05 times as fast as the baseline, with a 95 % interval of 0.98 to 1.12")


def test_a_bundle_is_not_faster_than_itself(tiny_bundle: Path) -> None:
    """Nor is it a change; what is tested is that every shape was timed and the figures belong together."""
    steps: list[str] = []
    with load_engine(tiny_bundle, threads=1) as engine:
        found = compare_speed(engine, engine, repeats=5, shapes=[(1, 4), (3, 40)], on_step=steps.append)
    assert list(found.speedups) == ["1 x 4", "3 x 40"]
    assert found.low <= found.speedup <= found.high
    assert found.speedup == pytest.approx(np.exp(np.mean(np.log(list(found.speedups.values())))), rel=1e-6)
    assert len(steps) == 2


def test_nothing_is_timed_that_is_wrong() -> None:
    right = np.eye(2, 4)
    with pytest.raises(ValueError, match="does not equal"):
        side_by_side({"a": lambda: right, "b": lambda: right * np.nan}, repeats=1, thresholds=Thresholds())
