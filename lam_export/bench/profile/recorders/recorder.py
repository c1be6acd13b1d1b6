"""The interface of all recorders, and the choice of a runtime's recorder."""

import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.runtimes import registry

from .samples import Run


class Recorder(Protocol):
    """A loaded subject that records the time of its operators."""

    def record(self, input_ids: np.ndarray) -> np.ndarray:
        """Embed ``[B, L]`` int64 to ``[B, hidden]``, and record the run."""

    def runs(self) -> list[Run]:
        """All recorded runs. No run can be recorded afterwards."""


def recorder_of(bundle: Bundle, engine: str, precision: str, threads: int, scratch: Path) -> Recorder:
    """Load a bundle with a runtime's recorder: the function ``recorder`` of the module named after the runtime.

    Args:
        bundle: an open bundle.
        engine: the runtime's name.
        precision: precision of the graph or plan.
        threads: threads for each operator on a CPU.
        scratch: an empty folder.

    Returns:
        The runtime's own recorder, or :class:`WholeRuns` if the runtime has none.

    Raises:
        LamError: the runtime cannot be loaded.
    """
    module = f"{__package__}.{engine}"
    if find_spec(module) is None:
        return WholeRuns(bundle, engine, precision, threads)
    found: Recorder = import_module(module).recorder(bundle, precision, threads, scratch)
    return found


class WholeRuns:
    """The recorder of a runtime without a profiler. It knows only how long each whole run took."""

    def __init__(self, bundle: Bundle, engine: str, precision: str, threads: int) -> None:
        """Load the engine. The errors are the engine's."""
        runtime = registry.runtime(engine)
        self._engine = runtime.load(bundle, precision=precision, threads=threads if runtime.takes_threads else None)
        self._runs: list[Run] = []

    def record(self, input_ids: np.ndarray) -> np.ndarray:
        """Embed ``[B, L]`` int64 to ``[B, hidden]``, and record the run."""
        start = time.perf_counter()
        vectors = self._engine.embed_ids(input_ids)
        self._runs.append(Run(time.perf_counter() - start, ()))
        return vectors

    def runs(self) -> list[Run]:
        """All recorded runs."""
        return self._runs
