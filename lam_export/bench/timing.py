"""Time several ways of computing the same thing, in turn, after checking that they agree."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import numpy as np

from lam_export.evidence.metrics import Thresholds, diff

REST = 0.01
"""Seconds of rest before a run. The threads of the run before spin for some milliseconds before they sleep."""


def side_by_side(
    candidates: Mapping[str, Callable[[], np.ndarray]], *, repeats: int, thresholds: Thresholds = Thresholds()
) -> dict[str, list[float]]:
    """Run the candidates in turn (A B A B ...), so that a machine that slows down slows all of them.

    Args:
        candidates: name to a call that returns embeddings ``[B, hidden]``. All others must equal the first.
        repeats: timed runs of each candidate, after one run that is not timed.
        thresholds: limits of the comparison.

    Returns:
        Name to seconds of each run.

    Raises:
        ValueError: a candidate's embeddings differ from the first's. Nothing was timed.
    """
    results = {name: call() for name, call in candidates.items()}
    first, *others = results
    for name in others:
        if not (found := diff(results[name], results[first], thresholds)):
            raise ValueError(f"{name} does not equal {first}: {found}")
    return in_turn({name: partial(seconds_of, call) for name, call in candidates.items()}, repeats=repeats)


def in_turn(
    clocks: Mapping[str, Callable[[], float]], *, repeats: int, on_run: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Let each clock time its own work, in turn (A B A B ...).

    Args:
        clocks: name to a call that does the work once and returns its seconds.
        repeats: calls of each clock.
        on_run: called after every call of a clock.

    Returns:
        Name to seconds of each run.
    """
    seconds: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(repeats):
        for name, clock in clocks.items():
            seconds[name].append(clock())
            on_run()
    return seconds


def seconds_of(call: Callable[[], object], rest: float = 0.0) -> float:
    """The seconds that a call takes, after some seconds of rest."""
    time.sleep(rest)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """How many times as fast ``fast`` is: the median of the ratios of neighbouring runs."""
    return median(a / b for a, b in zip(slow, fast, strict=True))
