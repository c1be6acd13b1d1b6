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
    folder = Path(sys.argv[1])
    sys.stdin.buffer.read()
    quiet, end = 0, time.monotonic() + _PATIENCE
    while quiet < _QUIET and time.monotonic() < end:  # one look may miss a process that is just starting
        found = _marked(folder)
        quiet = 0 if found else quiet + 1
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_PAUSE)
    shutil.rmtree(folder, ignore_errors=True)


def _marked(folder: Path) -> list[int]:
    """Processes of the run, without this one. None on systems without ``/proc``."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environment.read_bytes().split(b"\0") and int(environment.parent.name) != os.getpid():
                found.append(int(environment.parent.name))
    return found


if __name__ == "__main__":
    main()
