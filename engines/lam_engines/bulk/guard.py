"""A process that outlives a run and cleans up after it, even if the run was ended by SIGKILL.

Without it, two of Ray's processes stay for a minute after a killed run, and Ray's folder of sockets and logs stays for
good. This file imports only the standard library, so that it starts at once and stays small.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PAUSE, _PATIENCE = 0.1, 30.0
"""Seconds between two searches for processes, and of the whole search."""
_QUIET = 5
"""The search ends after this many looks in a row found no process."""
MARK = "LAM_EMBED_RUN"
"""A variable that all processes of a run inherit. Its value is the run's folder."""


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Start the guard of a run whose processes are marked with this folder.

    It cleans up when its standard input ends. That is when the run closes it, and when the run's process is gone.
    """
    return subprocess.Popen(  # noqa: S603  (Python and this file)
        [sys.executable, "-I", __file__, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )


def main() -> None:
    """Wait for the end of the run, then end its processes and remove its folder."""
    folder, own = Path(sys.argv[1]), {os.getpid(), os.getppid()}
    sys.stdin.buffer.read()
    quiet, end = 0, time.monotonic() + _PATIENCE
    while quiet < _QUIET and time.monotonic() < end:  # one look may miss a process that is just starting
        found = _marked(folder) - own
        quiet = 0 if found else quiet + 1
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_PAUSE)
    shutil.rmtree(folder, ignore_errors=True)


def _marked(folder: Path) -> set[int]:
    """Processes of the run, this one and its parent among them. None on systems without ``/proc``.

    A process that sets its title, as Ray's agents do, overwrites what ``/proc`` shows of its environment. It is known
    by the logs that it has open in the folder.
    """
    mark, found = f"{MARK}={folder}".encode(), set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            known = mark in (process / "environ").read_bytes().split(b"\0") or any(
                handle.readlink().is_relative_to(folder) for handle in (process / "fd").iterdir()
            )
            if known:
                found.add(int(process.name))
    return found


if __name__ == "__main__":
    main()
