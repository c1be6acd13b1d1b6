"""Progress and messages of a build, and how it is stopped."""

import io
import signal
import threading
import time

import pytest
from polygraphy.logger import G_LOGGER
from rich.console import Console
from rich.progress import Progress

from lam_export.export.tensorrt.build import _stoppable
from lam_export.export.tensorrt.messages import collected_errors
from lam_export.export.tensorrt.progress import BuildProgress


@pytest.fixture
def bars() -> Progress:
    return Progress("{task.fields[phase]}", console=Console(file=io.StringIO()))


def shown(bars: Progress) -> list[tuple[str, float, float | None]]:
    return [(task.fields["phase"], task.completed, task.total) for task in bars.tasks]


def test_phases_are_bars(bars: Progress) -> None:
    progress = BuildProgress(bars)
    progress.phase_start("Building Engine", None, 3)
    progress.phase_start("Tactic Selection", "Building Engine", 20)
    assert progress.step_complete("Tactic Selection", 0)
    assert progress.step_complete("Tactic Selection", 4)
    assert shown(bars) == [("Building Engine", 0, 3), ("Tactic Selection", 5, 20)]
    progress.phase_finish("Tactic Selection")  # before its last step, which TensorRT may do
    assert progress.step_complete("Building Engine", 0)
    assert shown(bars) == [("Building Engine", 1, 3)]
    progress.phase_finish("Building Engine")
    assert shown(bars) == []


def test_a_name_may_come_again_and_an_unknown_one_does_no_harm(bars: Progress) -> None:
    progress = BuildProgress(bars)
    progress.phase_start("Tactic Selection", None, 3)
    progress.phase_start("Tactic Selection", None, 5)
    assert progress.step_complete("never started", 1)
    progress.phase_finish("never started")
    assert shown(bars) == [("Tactic Selection", 0, 5)]


def test_from_many_threads(bars: Progress) -> None:
    progress = BuildProgress(bars)

    def phase(name: str) -> None:
        progress.phase_start(name, None, 50)
        for step in range(50):
            progress.step_complete(name, step)
        progress.phase_finish(name)

    threads = [threading.Thread(target=phase, args=(f"phase {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown(bars) == []


def build_of_many_steps(progress: BuildProgress) -> str:
    """Works as TensorRT does: step by step, until it is told to stop."""
    progress.phase_start("Building", None, 10_000)
    for step in range(10_000):
        time.sleep(0.001)
        if not progress.step_complete("Building", step):
            return "stopped"
    return "built"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_build(signum: signal.Signals, bars: Progress) -> None:
    progress, ended = BuildProgress(bars), []

    class Stop(BaseException):
        pass

    def handler(*_: object) -> None:
        raise Stop

    before = signal.signal(signum, handler)
    try:
        threading.Timer(0.1, lambda: signal.raise_signal(signum)).start()
        with pytest.raises(Stop):
            _stoppable(lambda: ended.append(build_of_many_steps(progress)), progress.stop)
    finally:
        signal.signal(signum, before)
    assert ended == ["stopped"]


def test_results_and_errors_come_through(bars: Progress) -> None:
    assert _stoppable(lambda: 7, BuildProgress(bars).stop) == 7
    with pytest.raises(ZeroDivisionError):
        _stoppable(lambda: 1 // 0, BuildProgress(bars).stop)


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
