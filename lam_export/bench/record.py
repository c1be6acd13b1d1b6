"""A benchmark with all that its figures depend on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from lam_engines.bundle import MANIFEST, Bundle, file_entry
from lam_export.validate.report.environment import machine, tools

from .entrants import Entrant
from .schema import Benchmark, Result
from .shapes import Shape

_BUSY = 0.5
"""Processes that want to run, for each core, from which on a machine is not quiet."""


@dataclass(frozen=True)
class Setting:
    """The machine as it was before the first measurement."""

    created: str
    load: float | None
    threads: int
    cores: int

    @staticmethod
    def here(threads: int | None) -> "Setting":
        """Now; ``threads`` is what the user asked for, one per core if nothing."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return Setting(created, load, threads or cores, cores)

    def warning(self) -> str:
        """What makes the figures doubtful; mostly nothing."""
        if self.load is None or self.load < _BUSY * self.cores:
            return ""
        return (
            f"note: the machine is busy (load {self.load:.1f} on {self.cores} cores): ratios mean more than times, and "
            f"neither much; run again when it is quiet"
        )


def record(
    bundle: Bundle,
    setting: Setting,
    reference: Entrant,
    baselines: Sequence[str],
    entrants: Sequence[Entrant],
    shapes: Sequence[Shape],
    results: Sequence[Result],
) -> Benchmark:
    """Put results together; of the shapes those that have some."""
    done = {result.shape for result in results}
    return Benchmark(
        created=setting.created,
        bundle=bundle.path.resolve().name,
        manifest_sha256=file_entry(bundle.path / MANIFEST).sha256,
        machine=machine(),
        load=setting.load,
        threads=setting.threads,
        tools=tools(),
        reference=f"{reference.info.name} ({reference.info.runtime})",
        baselines=tuple(baselines),
        entrants=tuple(entrant.info for entrant in entrants),
        shapes=tuple(shape.info for shape in shapes if shape.info.name in done),
        results=tuple(results),
    )
