"""The standard streams, whatever was made of them: closed, full, or read by nobody.

Standard output has results: one that cannot be written is an error. Standard error has progress and notes: what cannot
be written there is lost, and the work goes on.
"""

import errno
import os
import sys
from typing import Any

from lam_engines.errors import LamError


class StandardOutputError(LamError):
    """Standard output did not take a result."""

    def __init__(self, error: OSError) -> None:
        found = " it closed" if error.errno == errno.EBADF else f": {error.strerror}"
        super().__init__(
            f"expected standard output to take the result, found{found}; send it elsewhere (what went into files is "
            f"whole)"
        )
        self.unread = error.errno == errno.EPIPE
        """Nobody reads it any more, as after ``| head``."""


class _Stream:
    """A text stream that says, or forgets, what cannot be written."""

    def __init__(self, stream: Any, *, forgets: bool) -> None:
        self._stream, self._forgets = stream, forgets
        self._lost: StandardOutputError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if self._lost is not None:  # Click tries streams with an empty text, and passes over what that raises
            raise self._lost
        return self._tried(self._stream.write, text) or len(text)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _tried(self, call: Any, *arguments: str) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            # Python would write what is still held once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if not self._forgets:
                self._lost = StandardOutputError(error)
                raise self._lost from None


def watch_streams() -> None:
    """Open the streams that are closed, and tell of what standard output does not take.

    The number of a closed one would go to the next file that is opened, and what libraries print there into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one. What is done with it fails, except for notes.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_WRONLY), True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name) or open(number, "w", closefd=False)  # noqa: SIM115 - it stays open
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # its encoding may lack a character
        setattr(sys, name, _Stream(stream, forgets=number == 2))
