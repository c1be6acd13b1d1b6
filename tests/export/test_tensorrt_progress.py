"""The builder's phases as steps of a bar."""

import threading

import pytest

from lam_engines.progress import Progress
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
    assert told.steps == [("Building Engine", PIECES)]
    progress.phase_start("Tactic Selection", "Building Engine", 20)
    progress.step_complete("Tactic Selection", 0)
    progress.step_complete("Tactic Selection", 9)
    assert sum(told.done) == PIECES * 10 // 20 // 4
    progress.phase_finish("Tactic Selection")  # before its last step, which TensorRT may do
    progress.step_complete("Building Engine", 0)
    assert sum(told.done) == PIECES // 4
    progress.phase_start("Tactic Selection", "Building Engine", 2)
    progress.phase_start("Timing", "Tactic Selection", 5)
    progress.step_complete("Timing", 4)
    assert sum(told.done) == PIECES // 4 + PIECES // 4 // 2
    progress.step_complete("Building Engine", 3)
    assert sum(told.done) == PIECES
    assert min(told.done) > 0, "never back"
    progress.phase_finish("Building Engine")
    progress.phase_start("Serializing", None, 0)
    assert told.steps[-1] == ("Serializing", PIECES)
    assert told.done == []


def test_odd_phases_do_no_harm(told: Told) -> None:
    progress = BuildProgress(told.progress)
    progress.phase_start("Tactic Selection", None, 3)
    progress.phase_start("Tactic Selection", None, 5)
    progress.step_complete("never started", 1)
    progress.phase_finish("never started")
    progress.phase_start("a", "b", 5)
    progress.phase_start("b", "a", 5)
    progress.phase_start("Tactic Selection", "Tactic Selection", 5)
    progress.step_complete("Tactic Selection", 0)
    progress.step_complete("a", 7)
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
