"""The tests that need a GPU. On a machine without one they are collected, and each says why it is skipped."""

import sys
from importlib.util import find_spec

import pytest

from gpu_evidence.record import Row, Tell
from lam_engines.machine import processors

MOST_WORKERS = 8
"""Each takes some of the GPU's memory."""


class Outcomes:
    """Hears of every test when it is done."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        row: Row = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 2)}
        if report.skipped and isinstance(report.longrepr, tuple):
            row["why"] = report.longrepr[2].removeprefix("Skipped: ")
        self._tell(row | _failure(report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tell({"test": report.nodeid, "outcome": "not collected", "seconds": 0.0} | _failure(report))


def _failure(report: "pytest.TestReport | pytest.CollectReport") -> Row:
    if not report.failed:
        return {}
    why = (report.longreprtext.strip().splitlines() or ["no details"])[-1][:300]
    return {"why": why, "wrong": why}


def run(tell: Tell) -> None:
    # Compiling kernels takes the most time, and takes a core. TensorRT's tests look at the GPU's free memory.
    workers = ["-n", str(min(MOST_WORKERS, processors()))] if find_spec("xdist") else []
    for chosen in (["-m", "not tensorrt", *workers], ["-m", "tensorrt"]):
        code = pytest.main(["tests/gpu", "-q", "-p", "no:cacheprovider", *chosen], plugins=[Outcomes(tell)])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):  # those are in the rows
            sys.exit(f"pytest: {pytest.ExitCode(code).name}")
