"""A ``tritonserver`` that can be started."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import EngineError


@dataclass(frozen=True)
class Installation:
    """A server that can be started."""

    command: tuple[str, ...]
    """The program, or the command that starts it in a container."""
    arguments: tuple[str, ...] = ()
    """Arguments that it needs on this machine, whatever it serves."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that differ from those of this process."""
    version: str = ""
    """Triton's version, such as 2.51.0; empty: not known before it runs."""
    backends: frozenset[str] | None = None
    """Triton's backends that it has; None: not known."""

    def require_backend(self, name: str) -> None:
        """Check that the server has a backend, as far as that is known.

        Raises:
            EngineError: the server lacks it.
        """
        if self.backends is not None and name not in self.backends:
            raise EngineError(
                f"expected a server with Triton's {name} backend, found PyPI's, which has the python backend only; "
                f"name one: --tritonserver COMMAND (the images nvcr.io/nvidia/tritonserver have it)"
            )
