"""The front as a server, in a thread of its own or as a process."""

import socket
import threading
import time
from typing import TYPE_CHECKING

from ...errors import EngineError
from .app import Settings, create_app

if TYPE_CHECKING:
    from uvicorn import Server

_START = 20.0
_GRACE = 10
"""Seconds for what is under way when the front is stopped; then it is cancelled."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that has an address and does not listen yet; port 0: any free one.

    Raises:
        EngineError: the address is taken, or not of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise EngineError(
            f"expected a free port at {host}:{port}, found none ({error.strerror}); stop what runs there, or name "
            f"another port"
        ) from None
    return bound


def server(settings: Settings) -> "Server":
    """Uvicorn with the front, not yet running."""
    import uvicorn

    config = uvicorn.Config(
        create_app(settings),
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    return uvicorn.Server(config)


class OpenAiFront:
    """A front that runs beside the caller's work, from ``with OpenAiFront(...) as front`` to the end of the block.

    The end of the block waits for requests under way, for at most some seconds, and closes the port.
    """

    def __init__(self, settings: Settings, bound: socket.socket) -> None:
        """Nothing listens yet.

        Args:
            settings: what is served.
            bound: where, from :func:`bind`; closed at the end.
        """
        self._socket = bound
        self._server = server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="openai", daemon=True)
        host, port = bound.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
        """What clients take as ``base_url``."""

    def __enter__(self) -> "OpenAiFront":
        """Listen.

        Raises:
            EngineError: the front does not start.
        """
        self._thread.start()
        deadline = time.monotonic() + _START
        while not self._server.started:
            if not self.alive or time.monotonic() > deadline:
                self.__exit__()
                raise EngineError(f"the OpenAI front at {self.url} did not start; see what it wrote above")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """Take no more requests, and do not wait for those under way."""
        self._server.should_exit = True

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self._thread.join(_GRACE + 5)
        self._socket.close()

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()
