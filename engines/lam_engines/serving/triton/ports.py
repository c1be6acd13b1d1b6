"""Free ports of this machine."""

import socket

from ...errors import EngineError


def free_ports(host: str, wanted: dict[str, int]) -> dict[str, int]:
    """Ports that are free now.

    Args:
        host: the address to listen on.
        wanted: option to port; 0 stands for any free port.

    Raises:
        EngineError: a port is taken, or the address is not this machine's.
    """
    held: list[socket.socket] = []
    try:
        found = {}
        for option, port in wanted.items():
            listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            held.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except OSError as error:
                raise EngineError(
                    f"expected port {port} of {host} to be free, found it taken ({error.strerror}); choose another: "
                    f"--{option} PORT"
                ) from None
            found[option] = listener.getsockname()[1]
        return found
    finally:
        for listener in held:
            listener.close()


def listens(address: str) -> bool:
    """Whether something listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 1).close()
    except OSError:
        return False
    return True
