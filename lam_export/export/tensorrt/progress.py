"""Reports the progress of a build."""

import threading
from dataclasses import dataclass

from lam_engines.progress import Progress

PIECES = 1000
"""The number of pieces that a phase of the build is reported in."""


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Translates TensorRT's progress into steps of :data:`PIECES` pieces.

    TensorRT works in phases of several steps. A phase may be part of another phase's next step. Each outermost phase is
    reported as one step.

    The methods are those of ``tensorrt.IProgressMonitor``. TensorRT calls them from its own threads.
    """

    def __init__(self, progress: Progress) -> None:
        """Take the receiver of the reports."""
        self._progress = progress
        self._phases: dict[str, _Phase] = {}
        self._outermost = ""
        self._told = 0
        self._lock = threading.Lock()

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """A phase of ``num_steps`` steps begins, inside another phase or on its own."""
        with self._lock:
            self._phases[phase_name] = _Phase(parent_phase, max(num_steps, 1))
            if parent_phase is None:
                self._outermost, self._told = phase_name, 0
                self._progress.begin(phase_name, PIECES)

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Step ``step``, counted from 0, is done. The build goes on."""
        with self._lock:
            if phase_name in self._phases:
                self._phases[phase_name].done = step + 1
                self._tell_pieces()
        return True

    def phase_finish(self, phase_name: str) -> None:
        """A phase ends. Some of its steps may not be done."""
        with self._lock:
            self._phases.pop(phase_name, None)

    def _tell_pieces(self) -> None:
        if self._outermost in self._phases:
            more = int(self._part_done(self._outermost, frozenset()) * PIECES) - self._told
            if more > 0:
                self._told += more
                self._progress.advance(more)

    def _part_done(self, name: str, above: frozenset[str]) -> float:
        """The finished part of a phase, from 0 to 1."""
        phase, above = self._phases[name], above | {name}
        inner = [other for other, found in self._phases.items() if found.parent == name and other not in above]
        within = sum(self._part_done(other, above) for other in inner)
        return min(1.0, (phase.done + min(within, 1.0)) / phase.steps)
