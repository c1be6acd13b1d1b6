"""The memory of this process, and what is left on the machine; in bytes."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident() -> int | None:
    """What this process holds now; None where the system does not say."""
    return _field(_STATUS, "VmRSS")


def peak() -> int | None:
    """The most that this process held since :func:`reset_peak`, or, where that does nothing, since it began.

    Linux's own figure before ``getrusage``, which also counts what the parent held when it started this process.
    """
    if (found := _field(_STATUS, "VmHWM")) is not None:
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


def available() -> int | None:
    """What new work may take before the machine, or the container, runs short."""
    left = [_field(Path("/proc/meminfo"), "MemAvailable"), _left_in_container()]
    return min((size for size in left if size is not None), default=None)


def _left_in_container() -> int | None:
    try:
        limit, used = (
            Path("/sys/fs/cgroup", name).read_text(encoding="ascii") for name in ("memory.max", "memory.current")
        )
        return int(limit) - int(used)
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return None


def _field(path: Path, name: str) -> int | None:
    """A line ``NAME:   1234 kB``."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
