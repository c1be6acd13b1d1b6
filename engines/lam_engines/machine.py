"""What this machine, or the container on it, lets a process use. Read here and nowhere else.

It is copied into Triton's models, so that it imports the standard library alone.
"""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from .contract import CACHE_VARIABLE

_PROC, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def processors() -> int:
    """How many processors this process may use: those that it may run on, or the share that a container leaves it.

    A share is rounded to whole processors, and is at least one.
    """
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([most, *(round(share) for share in _shares())]))


def _shares() -> Iterator[float]:
    """Processors that control groups leave to this process, where they limit it."""
    for group in _groups("cpu"):
        two = _words(group / "cpu.max")
        one = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        for words in (two, one):
            if len(words) == 2 and words[0].isdigit():  # else no limit: "max" or -1
                yield int(words[0]) / int(words[1])


def processor_name() -> str:
    """Of the model, such as ``AMD EPYC 9R14``; of the architecture where the system does not say more."""
    return _field(_PROC / "cpuinfo", "model name") or platform.processor() or platform.machine()


def available_memory() -> int | None:
    """Bytes that new work may take before the machine, or the container, runs short; None where nothing says it."""
    free = memory_field(_PROC / "meminfo", "MemAvailable")
    return min([*_left(), *([] if free is None else [free])], default=None)


def _left() -> Iterator[int]:
    """Bytes of memory that control groups leave to this process, where they limit it."""
    for group in _groups("memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            words = _words(group / limit) + _words(group / used)
            if len(words) == 2 and words[0].isdigit():
                yield int(words[0]) - int(words[1])


def memory_field(path: Path, name: str) -> int | None:
    """Bytes in a line ``NAME:   1234 kB`` of a file of ``/proc``; None if there is none."""
    found = _field(path, name)
    return int(found.split()[0]) * 1024 if found else None


def cache_folder() -> Path:
    """Where results, kernels and Triton's server are kept between runs. Delete it to clear it.

    ``$LAM_EXPORT_CACHE``, or else ``lam-export`` in the user's cache folder (``$XDG_CACHE_HOME``, ``~/.cache``).
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lam-export"


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, and of those around them; of both versions.

    Inside a container the path that the system tells is often that of the machine outside. The container's own group is
    then at the root.
    """
    for line in _lines(_PROC / "self" / "cgroup"):  # hierarchy:controllers:path
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0":
            root = _GROUPS
        elif controller in controllers.split(","):
            root = _GROUPS / controller
        else:
            continue
        group = root / path.strip("/")
        yield group
        while group != root and root in group.parents:
            group = group.parent
            yield group


def _field(path: Path, name: str) -> str:
    """The value in the first line ``NAME: VALUE``, or nothing."""
    pairs = (line.partition(":") for line in _lines(path))
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
