"""What the parts of a running server know of each other."""

import asyncio
from dataclasses import dataclass
from typing import Any

from .errors import ApiError


@dataclass
class State:
    """Of one server."""

    draining: bool = False
    """Whether it is being stopped. It still answers."""


@dataclass
class Client:
    """Who is at the other end of a connection. Requests find it in ``scope["state"]["client"]``."""

    answering: "asyncio.Task[Any] | None" = None
    """The task of the request in hand."""
    error: ApiError | None = None
    """Why that task was cancelled."""
    gone: bool = False
    """Whether the connection is lost."""

    def cancel(self, error: ApiError | None) -> None:
        """Give up the request in hand, and answer with an error. None: the client has gone."""
        self.error, self.gone = error, error is None
        if self.answering is not None:
            self.answering.cancel()
