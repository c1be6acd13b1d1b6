"""The front as a server, in its own thread or as a process."""

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
"""Seconds that running requests have to finish when the front stops. Then they are cancelled."""


def bind(host: str, port: int) -> socket.socket:
    """A socket with an address, which does not listen yet. Port 0 stands for any free port.

    Raises:
        EngineError: the address is taken, or not this machine's.
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
            f"expected a free port at {host}:{port}, found none ({error.strerror}); stop what runs there, or "
            f"name another port"
        ) from None
    return bound


def server(settings: Settings) -> "Server":
    """Uvicorn with the front; it does not run yet."""
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
    """A front that runs in a thread, from ``with OpenAiFront(...) as front`` to the end of the block.

    The end of the block waits some seconds for running requests, and closes the port.
    """

    def __init__(self, settings: Settings, bound: socket.socket) -> None:
        """Prepare a front; nothing listens yet.

        Args:
            settings: the model and its limits.
            bound: a socket from :func:`bind`, which is closed at the end.
        """
        self._socket = bound
        self._server = server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="openai", daemon=True)
        host, port = bound.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
        """``base_url`` of OpenAI's client."""

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
                raise EngineError(f"the OpenAI front at {self.url} did not start; see its messages above")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """Refuse new requests. Does not wait for running ones."""
        self._server.should_exit = True

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self._thread.join(_GRACE + 5)
        self._socket.close()

    @property
    def alive(self) -> bool:
        """Whether the front still serves."""
        return self._thread.is_alive()
