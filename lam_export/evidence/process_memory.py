"""The memory of this process, in bytes."""

import sys
from pathlib import Path

from lam_engines.machine import memory_field

_STATUS = Path("/proc/self/status")


def resident() -> int | None:
    """What this process holds now; None where the system does not say."""
    return memory_field(_STATUS, "VmRSS")


def peak() -> int | None:
    """The most that this process held since :func:`reset_peak`, or, where that does nothing, since it began.

    Linux's own figure before ``getrusage``, which also counts what the parent held when it started this process.
    """
    if (found := memory_field(_STATUS, "VmHWM")) is not None:
        return found
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> None:
    """Forget the peak until now, where Linux lets us."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
