"""How far a build is, as bars; and the way to stop it."""

import threading

from rich.progress import Progress, TaskID


class BuildProgress:
    """What TensorRT reports of a build, as a bar for each phase under way.

    Its methods are those of ``tensorrt.IProgressMonitor``. TensorRT calls them from threads of its own, and an
    exception in one would end the process.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._phases: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let the build end at the next step, without a plan."""
        self._stopped.set()

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """A phase of ``num_steps`` steps begins, inside another or on its own."""
        with self._lock:
            self._forget(phase_name)
            self._phases[phase_name] = self._bars.add_task("", total=num_steps, phase=phase_name)

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Step ``step``, counted from 0, is done. False stops the build."""
        with self._lock:
            if phase_name in self._phases:
                self._bars.update(self._phases[phase_name], completed=step + 1)
        return not self._stopped.is_set()

    def phase_finish(self, phase_name: str) -> None:
        """A phase is over, all of its steps done or not."""
        with self._lock:
            self._forget(phase_name)

    def _forget(self, phase_name: str) -> None:
        task = self._phases.pop(phase_name, None)
        if task is not None:
            self._bars.remove_task(task)
