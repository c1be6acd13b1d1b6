"""A record of runs: what every recorder does, and which one a runtime has."""

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
    """A runtime that keeps a record of its runs."""

    def record(self, input_ids: np.ndarray) -> np.ndarray:
        """``[B, L]`` int64 to ``[B, hidden]``, on record."""

    def runs(self) -> list[Run]:
        """All that is on record; nothing can be added afterwards."""


def recorder_of(bundle: Bundle, engine: str, precision: str, threads: int, scratch: Path) -> Recorder:
    """Load a bundle with the recorder of a runtime: ``recorder`` of the module here that is named after it.

    Args:
        bundle: an open bundle.
        engine: the runtime's name.
        precision: of the graph or plan.
        threads: for each operator, on a CPU.
        scratch: an empty folder.

    Returns:
        The runtime's own recorder. Where it has none, one that knows how long the whole run took.

    Raises:
        LamError: the runtime cannot be loaded.
    """
    module = f"{__package__}.{engine}"
    if find_spec(module) is None:
        return WholeRuns(bundle, engine, precision, threads)
    found: Recorder = import_module(module).recorder(bundle, precision, threads, scratch)
    return found


class WholeRuns:
    """A runtime without a profiler: all of its time is its own."""

    def __init__(self, bundle: Bundle, engine: str, precision: str, threads: int) -> None:
        """Load it. Errors as of the engine."""
        runtime = registry.runtime(engine)
        self._engine = runtime.load(bundle, precision=precision, threads=threads if runtime.takes_threads else None)
        self._runs: list[Run] = []

    def record(self, input_ids: np.ndarray) -> np.ndarray:
        """``[B, L]`` int64 to ``[B, hidden]``, on record."""
        start = time.perf_counter()
        vectors = self._engine.embed_ids(input_ids)
        self._runs.append(Run(time.perf_counter() - start, ()))
        return vectors

    def runs(self) -> list[Run]:
        """All runs until now."""
        return self._runs
