"""One process of ``tritonserver``: it has its own process group, stops in bounded time, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...contract import CACHE_VARIABLE
from ...errors import EngineError
from .installation import Installation

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
# A small Python program asks the kernel for SIGTERM when its parent dies, and then becomes the server.
_LAUNCH = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execvp(sys.argv[1], sys.argv[1:])"
_OTHER_PLACES = f"set TMPDIR and {CACHE_VARIABLE} to other folders, or serve without --triton"


class ServerProcess:
    """A running server. Its output goes to a log file."""

    def __init__(self, installation: Installation, arguments: Sequence[str], log: Path, shared_memory: str) -> None:
        """Start the server.

        Args:
            installation: which server to start.
            arguments: of the server.
            log: file that its output is appended to.
            shared_memory: prefix of the names of its shared-memory segments. No other process may use it.

        Raises:
            EngineError: the program cannot be run, or the log cannot be written.
        """
        self.shared_memory = shared_memory
        check_places(*installation.command, *installation.arguments, *arguments)
        environment = {**os.environ, **installation.environment}
        for name in ("PYTHONPATH", "PYTHONHOME"):
            environment.pop(name, None)
        command = [sys.executable, "-I", "-c", _LAUNCH, *installation.command, *installation.arguments, *arguments]
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise EngineError(f"{installation.command[0]} cannot be started ({error.strerror}); see {log}") from None
        self.pid = self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the server runs. A negative code is the signal that ended it."""
        return self._process.poll()

    def children(self) -> set[int]:
        """The server's living child processes: one for each instance of a Python model."""
        found: set[int] = set()
        for listed in Path(f"/proc/{self.pid}/task").glob("*/children"):
            try:
                found |= {int(child) for child in listed.read_text().split()}
            except OSError:  # the thread, or the server, has ended
                continue
        return {child for child in found if _lives(child)}

    def stop(self, seconds: float) -> None:
        """Ask the server to finish its requests, kill it after this many seconds, and clean up."""
        try:
            if self.exit_code is None:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(seconds)
        finally:  # after a second Ctrl-C too
            self.kill()

    def kill(self) -> None:
        """Kill the server and every process of its group at once, and remove its shared memory."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for segment in SHARED_MEMORY.glob(f"{self.shared_memory}*"):
            segment.unlink(missing_ok=True)


def check_places(*words: str, remedy: str = _OTHER_PLACES) -> None:
    """See that Triton can use the places in its arguments.

    Its Python backend starts its processes through a line of shell, in which it quotes nothing.

    Raises:
        EngineError: a place would be cut or run there.
    """
    for word in words:
        place = word.partition("=")[2] or word
        if "/" in place and (odd := re.search(r"[^\w@%+=:,./-]", place, re.ASCII)):
            raise EngineError(
                f"expected folders of Latin letters and digits for Triton, which cannot use others, found {odd[0]!r} "
                f"in {place}; {remedy}"
            )


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
