"""Where a report was made: machine and versions. Nothing that names the host or its user."""

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

from lam_engines.machine import processor_name, processors
from lam_export.version import __version__

_TOOLS = (
    "torch",
    "onnx",
    "onnxscript",
    "onnx_ir",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "polygraphy",
    "tokenizers",
    "numpy",
    "scipy",
)


def machine() -> str:
    """Processor, cores that may be used, operating system."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return f"{processor_name()}, {processors()} cores, {system}"


def tools() -> dict[str, str]:
    """Versions of what exports, runs and measures, as far as it is installed."""
    found = {"lam-export": __version__, "python": platform.python_version()}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found


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
        cores = processors()
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return Setting(created, load, threads or cores, cores)

    def warning(self) -> str:
        """What makes the figures doubtful; mostly nothing."""
        if self.load is None or self.load < _BUSY * self.cores:
            return ""
        return (
            f"the machine is busy (load {self.load:.1f} on {self.cores} cores): ratios mean more than times, and "
            f"neither much; run again when it is quiet"
        )
