"""Which ``tritonserver`` to run."""

import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...errors import EngineError


@dataclass(frozen=True)
class Installation:
    """A server that can be started."""

    command: tuple[str, ...]
    """The program, or what starts it in a container."""
    arguments: tuple[str, ...] = ()
    """What it needs on this machine whatever it serves."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that differ from those of this process."""
    backends: frozenset[str] | None = None
    """Those that it has; None: not known."""

    def require_backend(self, name: str) -> None:
        """Raises EngineError if the server is known not to have a backend."""
        if self.backends is not None and name not in self.backends:
            raise EngineError(
                f"expected a server with Triton's {name} backend, found PyPI's, which has the python backend only; "
                f"name one: --tritonserver COMMAND (the images nvcr.io/nvidia/tritonserver have it)"
            )


def find_installation(command: str | None, on_install: Callable[[str], None] = lambda step: None) -> Installation:
    """The server that a user named, else the one on PATH, else the one of the wheel, which is installed if need be.

    Args:
        command: a program, or a command that starts one in a container, for instance ``docker run --rm --init --network
            host --shm-size 1g -v REPOSITORY:REPOSITORY:ro IMAGE tritonserver``; arguments are added at its end.
        on_install: told what is about to be downloaded.

    Raises:
        EngineError: there is none.
    """
    if command is not None:
        try:
            words = tuple(shlex.split(command))
        except ValueError as error:
            raise EngineError(f"--tritonserver {command!r} is no command ({error}); mend it") from None
        if not words or shutil.which(words[0]) is None:
            raise EngineError(
                f"expected a command after --tritonserver, found {command!r}, which is not there; mend it"
            )
        return Installation(words)
    if (found := shutil.which("tritonserver")) is not None:
        return Installation((found,))
    from .wheel import wheel_installation

    return wheel_installation(on_install)
