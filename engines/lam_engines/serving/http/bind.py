"""The server's port, taken before anything else is done."""

import socket

from ...errors import EngineError


def bind(host: str, port: int) -> socket.socket:
    """A socket with an address, which does not listen yet. Port 0 stands for any free port.

    Raises:
        EngineError: the address is taken, or not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows, SO_REUSEADDR would share a port in use
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
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
