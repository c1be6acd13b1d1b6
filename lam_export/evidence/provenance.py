"""Where a record was made: machine and versions, but nothing that names the host or the user."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lam_engines.machine import processor_name, processors
from lam_export.version import __version__

if TYPE_CHECKING:  # a machine that only measures may lack Pydantic
    from lam_engines.bundles.bundle import Bundle

    from .subject import Subject

_TOOLS = (
    "torch",
    "triton",
    "onnx",
    "onnxscript",
    "onnx_ir",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu12",
    "polygraphy",
    "tokenizers",
    "numpy",
    "scipy",
)


def machine() -> str:
    """Processor, number of usable cores and operating system."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return f"{processor_name()}, {processors()} cores, {system}"


def tools() -> dict[str, str]:
    """Versions of the installed packages that export, run and measure."""
    found = {"lam-export": __version__, "python": platform.python_version()}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time in UTC, as ISO 8601 writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def made(bundle: "Bundle") -> dict[str, Any]:
    """The fields of :class:`~lam_export.evidence.schema.Made`."""
    return {
        "created": now(),
        "bundle": bundle.path.resolve().name,
        "manifest_sha256": bundle.manifest_sha256,
        "machine": machine(),
        "tools": tools(),
    }


_BUSY = 0.5
"""Load per core from which on the machine counts as busy."""


@dataclass(frozen=True)
class Setting:
    """The state of the machine before the first measurement."""

    created: str
    """Time in UTC, ISO 8601."""
    load: float | None
    """Load of the last minute; None where the system does not say."""
    threads: int
    """Threads of each subject."""
    cores: int
    """Cores that this process may use."""

    @staticmethod
    def here(threads: int | None) -> "Setting":
        """The setting now. ``threads`` is what the user asked for; None means one per core."""
        cores = processors()
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        return Setting(now(), load, threads or cores, cores)

    def head(self, bundle: "Bundle", subjects: "Sequence[Subject]") -> dict[str, Any]:
        """The fields of :class:`~lam_export.evidence.schema.Measured` that are known before the first result."""
        own = {"created": self.created, "load": self.load, "threads": self.threads}
        return {**made(bundle), **own, "subjects": tuple(subject.info for subject in subjects)}

    def warning(self) -> str:
        """A sentence about what makes the figures doubtful; usually empty."""
        if self.load is None or self.load < _BUSY * self.cores:
            return ""
        return (
            f"the machine is busy (load {self.load:.1f} on {self.cores} cores): ratios mean more than times, and "
            f"neither much; run again when it is quiet"
        )
