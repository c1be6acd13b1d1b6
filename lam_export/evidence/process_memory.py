"""The memory of this process, in bytes."""

import sys
from pathlib import Path

from lam_engines.machine import memory_field

_STATUS = Path("/proc/self/status")


def resident() -> int | None:
    """Bytes that this process holds now; None where the system does not say."""
    return memory_field(_STATUS, "VmRSS")


def peak() -> int | None:
    """The most that this process held since :func:`reset_peak`, or since its start where that has no effect.

    Linux's own figure is preferred. ``getrusage`` also counts what the parent held when it started this process.
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
    """Reset the peak to what the process holds now. This has no effect where Linux does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
