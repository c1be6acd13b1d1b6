"""A process that outlives a run and clears up after it, be the run ended by SIGKILL.

Ray's own processes end with the run, but for two that take a minute over it; and its folder of sockets and logs stays.
Only the standard library: it must start at once, and stay small.
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
"""Seconds between two looks at all processes, and of all looks."""
_QUIET = 5
"""Looks that find nothing, one after the other, before it is believed."""
MARK = "LAM_EMBED_RUN"
"""A variable that all processes of a run inherit; its value is the run's folder."""


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Start it for a run whose processes are marked with a folder.

    It acts when its standard input ends: when it is closed, or the process that holds its other end is gone.
    """
    return subprocess.Popen(  # noqa: S603  (Python, and our own file)
        [sys.executable, "-I", __file__, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )


def main() -> None:
    """Wait for the end of the run, then end its processes and remove its folder."""
    folder = Path(sys.argv[1])
    sys.stdin.buffer.read()
    quiet, end = 0, time.monotonic() + _PATIENCE
    while quiet < _QUIET and time.monotonic() < end:  # one that is just starting is not seen yet
        found = _marked(folder)
        quiet = 0 if found else quiet + 1
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_PAUSE)
    shutil.rmtree(folder, ignore_errors=True)


def _marked(folder: Path) -> list[int]:
    """Processes of the run, this one apart; none where the system does not show what others inherited."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environment.read_bytes().split(b"\0") and int(environment.parent.name) != os.getpid():
                found.append(int(environment.parent.name))
    return found


if __name__ == "__main__":
    main()
