"""One process of ``tritonserver``: started in a group of its own, stopped within a bound, nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import EngineError
from .installation import Installation

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
# Started through Python, which asks the kernel for SIGTERM should the starter die, and becomes the server.
_LAUNCH = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execvp(sys.argv[1], sys.argv[1:])"


class ServerProcess:
    """A running server. Its output goes to a log file."""

    def __init__(self, installation: Installation, arguments: Sequence[str], log: Path, shared_memory: str) -> None:
        """Start it.

        Args:
            installation: which server.
            arguments: for it.
            log: appended to.
            shared_memory: what the names of its shared-memory segments begin with; no other process's may.

        Raises:
            EngineError: the program cannot be run, or the log cannot be written.
        """
        self.shared_memory = shared_memory
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
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def children(self) -> set[int]:
        """Processes that it has started and that live: one for each instance of a Python model."""
        found: set[int] = set()
        for listed in Path(f"/proc/{self.pid}/task").glob("*/children"):
            try:
                found |= {int(child) for child in listed.read_text().split()}
            except OSError:  # the thread, or the server, has ended
                continue
        return {child for child in found if _lives(child)}

    def stop(self, seconds: float) -> None:
        """Ask it to finish what is under way, end it after that many seconds at the latest, and clean up after it."""
        try:
            if self.exit_code is None:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(seconds)
        finally:  # a second Ctrl-C too
            self.kill()

    def kill(self) -> None:
        """End it and every process of its group at once, and remove its shared memory."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for segment in _SHARED_MEMORY.glob(f"{self.shared_memory}*"):
            segment.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
