"""Progress and messages of a build, and how it is stopped."""

import signal
import threading
import time

import pytest
from polygraphy.logger import G_LOGGER

from lam_engines.progress import Progress
from lam_export.export.tensorrt.build import stoppable
from lam_export.export.tensorrt.messages import collected_errors
from lam_export.export.tensorrt.progress import PIECES, BuildProgress


class Told:
    """Who is told, and remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None]] = []
        self.done: list[int] = []
        self.progress = Progress(self.begin, self.done.append)

    def begin(self, step: str, pieces: int | None) -> None:
        self.steps.append((step, pieces))
        self.done.clear()


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_phase_within_another_is_part_of_its_next_step(told: Told) -> None:
    progress = BuildProgress(told.progress)
    progress.phase_start("Building Engine", None, 4)
    assert told.steps == [("TensorRT: Building Engine", PIECES)]
    progress.phase_start("Tactic Selection", "Building Engine", 20)
    assert progress.step_complete("Tactic Selection", 0)
    assert progress.step_complete("Tactic Selection", 9)
    assert sum(told.done) == PIECES * 10 // 20 // 4
    progress.phase_finish("Tactic Selection")  # before its last step, which TensorRT may do
    assert progress.step_complete("Building Engine", 0)
    assert sum(told.done) == PIECES // 4
    progress.phase_start("Tactic Selection", "Building Engine", 2)
    progress.phase_start("Timing", "Tactic Selection", 5)
    assert progress.step_complete("Timing", 4)
    assert sum(told.done) == PIECES // 4 + PIECES // 4 // 2
    assert progress.step_complete("Building Engine", 3)
    assert sum(told.done) == PIECES
    assert min(told.done) > 0, "never back"
    progress.phase_finish("Building Engine")
    progress.phase_start("Serializing", None, 0)
    assert told.steps[-1] == ("TensorRT: Serializing", PIECES)
    assert told.done == []


def test_odd_phases_do_no_harm(told: Told) -> None:
    progress = BuildProgress(told.progress)
    progress.phase_start("Tactic Selection", None, 3)
    progress.phase_start("Tactic Selection", None, 5)
    assert progress.step_complete("never started", 1)
    progress.phase_finish("never started")
    progress.phase_start("a", "b", 5)
    progress.phase_start("b", "a", 5)
    progress.phase_start("Tactic Selection", "Tactic Selection", 5)
    assert progress.step_complete("Tactic Selection", 0)
    assert progress.step_complete("a", 7)
    assert sum(told.done) == PIECES // 5


def test_from_many_threads(told: Told) -> None:
    progress = BuildProgress(told.progress)
    progress.phase_start("Building Engine", None, 8)

    def phase(name: str) -> None:
        progress.phase_start(name, "Building Engine", 50)
        for step in range(50):
            progress.step_complete(name, step)

    threads = [threading.Thread(target=phase, args=(f"phase {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told.steps) == 1
    assert sum(told.done) == PIECES // 8, "however many are under way, it is one step of the outer phase"


def test_an_exception_of_who_is_told_does_not_reach_tensorrt_and_ends_the_build() -> None:
    def broken(done: int) -> None:
        raise ZeroDivisionError

    progress = BuildProgress(Progress(advance=broken))
    progress.phase_start("Building Engine", None, 2)
    assert not progress.step_complete("Building Engine", 0)
    assert isinstance(progress.error, ZeroDivisionError)


def build_of_many_steps(progress: BuildProgress) -> str:
    """Works as TensorRT does: step by step, until it is told to stop."""
    progress.phase_start("Building", None, 10_000)
    for step in range(10_000):
        time.sleep(0.001)
        if not progress.step_complete("Building", step):
            return "stopped"
    return "built"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_build(signum: signal.Signals) -> None:
    progress, ended = BuildProgress(Progress()), []

    class Stop(BaseException):
        pass

    def handler(*_: object) -> None:
        raise Stop

    before = signal.signal(signum, handler)
    try:
        threading.Timer(0.1, lambda: signal.raise_signal(signum)).start()
        with pytest.raises(Stop):
            stoppable(lambda: ended.append(build_of_many_steps(progress)), progress.stop)
    finally:
        signal.signal(signum, before)
    assert ended == ["stopped"]


def test_results_and_errors_come_through() -> None:
    assert stoppable(lambda: 7, BuildProgress(Progress()).stop) == 7
    with pytest.raises(ZeroDivisionError):
        stoppable(lambda: 1 // 0, BuildProgress(Progress()).stop)


def test_errors_are_kept_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    before = (G_LOGGER.colors, G_LOGGER.letter, G_LOGGER.use_python_logging_system, str(G_LOGGER.module_severity))
    with collected_errors(verbose=False) as errors:
        G_LOGGER.warning("a warning")
        G_LOGGER.error("a node\nthat cannot be parsed")
    assert [" ".join(error.split()) for error in errors] == ["a node that cannot be parsed"]
    assert capfd.readouterr() == ("", "")
    after = (G_LOGGER.colors, G_LOGGER.letter, G_LOGGER.use_python_logging_system, str(G_LOGGER.module_severity))
    assert after == before


def test_all_is_shown_if_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    with collected_errors(verbose=True) as errors:
        G_LOGGER.info("a message")
        G_LOGGER.error("an error")
    assert errors == ["an error"]
    assert capfd.readouterr() == ("", "a message\nan error\n")
