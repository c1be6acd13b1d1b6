"""What this machine, or its container, lets a process use. No other module reads this.

This file is copied into Triton's models, so it imports only the standard library and ``contract.py``.
"""

import os
import platform
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .contract import CACHE_VARIABLE

_PROC, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def processors() -> int:
    """How many processors this process may use: as many as it may run on, or fewer if a container limits its share.

    A share is rounded to whole processors, and is at least one.
    """
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([most, *(round(share) for share in _shares())]))


def default_threads() -> int | None:
    """Threads for an engine on this machine's CPU; None: all, as the runtime itself shares them out.

    Runtimes look at the machine alone. In a container with a share of it they would start too many threads, which then
    wait for each other.
    """
    allowed = processors()
    return allowed if allowed < (os.cpu_count() or 1) else None


def _shares() -> Iterator[float]:
    """The processors that each limiting control group leaves to this process."""
    for group in _groups("cpu"):
        two = _words(group / "cpu.max")
        one = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        for words in (two, one):
            if len(words) == 2 and words[0].isdigit():  # else no limit: "max" or -1
                yield int(words[0]) / int(words[1])


def processor_name() -> str:
    """The processor's model, such as ``AMD EPYC 9R14``; its architecture if the system does not name the model."""
    return _field(_PROC / "cpuinfo", "model name") or platform.processor() or platform.machine()


def instruction_sets() -> frozenset[str]:
    """The processor's extensions under Linux's names, such as ``avx512_bf16``; empty if the system does not tell."""
    cpuinfo = _PROC / "cpuinfo"
    return frozenset((_field(cpuinfo, "flags") or _field(cpuinfo, "Features")).split())  # of x86, of ARM


def available_memory() -> int | None:
    """Bytes that are free for new work on the machine or in the container; None if the system does not say."""
    free = memory_field(_PROC / "meminfo", "MemAvailable")
    return min([*_left(), *([] if free is None else [free])], default=None)


def _left() -> Iterator[int]:
    """The bytes of memory that each limiting control group leaves to this process."""
    for group in _groups("memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            words = _words(group / limit) + _words(group / used)
            if len(words) == 2 and words[0].isdigit():
                yield int(words[0]) - int(words[1])


def memory_field(path: Path, name: str) -> int | None:
    """The bytes in the line ``NAME:   1234 kB`` of a file in ``/proc``; None if there is no such line."""
    found = _field(path, name)
    return int(found.split()[0]) * 1024 if found else None


def cache_folder() -> Path:
    """The folder that keeps results, kernels and Triton's server between runs. It may be deleted at any time.

    It is ``$LAM_EXPORT_CACHE`` if set, else ``lam-export`` in the user's cache folder (``$XDG_CACHE_HOME`` or
    ``~/.cache``). A user without a home, or with one that cannot be written, gets a private folder in ``/tmp``.

    Raises:
        PermissionError: the folder in ``/tmp`` is another user's, or open to others.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).absolute()
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lam-export"
        if folder.is_absolute():
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    except (OSError, RuntimeError):  # RuntimeError: nobody knows the user's home
        pass
    return _private_folder()


def _private_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()).absolute() / f"lam-export-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    # What is kept there is trusted, so nobody else may have made it or may write to it.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user or status.st_mode & 0o077:
        raise PermissionError(
            f"expected a folder of this user alone at {folder}, found another; name a folder: {CACHE_VARIABLE}=DIR"
        )
    return folder


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control groups (versions 1 and 2) and of their parents.

    Inside a container, the system often reports the path outside the container. The container's own group is then at
    the root.
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
    """The value in the first line ``NAME: VALUE``; empty if there is no such line."""
    pairs = (line.partition(":") for line in _lines(path))
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
