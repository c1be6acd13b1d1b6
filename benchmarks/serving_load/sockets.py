"""Clients that cost little: a process of its own with one socket a client, which sends requests made beforehand.

It imports only the standard library, and looks at no answer but for its status and length. The answers are compared
when the load is over, so that what is measured is the server.
"""

import pickle
import re
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_READ_BYTES = 1 << 18


@dataclass
class Answers:
    """What came back."""

    numbers: list[int] = field(default_factory=list)
    """The request of each answer, as an index into the requests."""
    bodies: list[bytes] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    """Seconds from a request's first byte to its answer's last."""
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    """From the first request to the last answer."""
    processor_seconds: float = 0.0
    """User and system time of all clients."""


def send(host: str, port: int, requests: Sequence[bytes], *, clients: int, seconds: float, timeout: float) -> Answers:
    """Let clients send requests, in their order and then from the first again, from a process of its own.

    Args:
        host, port: where the server listens.
        requests: HTTP requests that keep the connection.
        clients: each sends its next request when it has the answer to the last.
        seconds: no request begins later.
        timeout: seconds without any answer, after which the load ends.
    """
    given = pickle.dumps((host, port, list(requests), clients, seconds, timeout))
    process = subprocess.run([sys.executable, __file__], input=given, stdout=subprocess.PIPE, check=True)
    return Answers(**pickle.loads(process.stdout))


class _Client:
    """A connection with one request on its way."""

    def __init__(self, address: tuple[str, int], selector: selectors.BaseSelector) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(self.socket, selectors.EVENT_READ, self)

    def ask(self, number: int, request: bytes) -> None:
        self.number, self.found, self.size = number, b"", 0
        self.begun = time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> tuple[str, bytes] | None:
        """Status and body of the answer; None: it is not whole."""
        part = self.socket.recv(_READ_BYTES)
        if not part:
            raise ConnectionError("closed")
        self.found += part
        if not self.size:
            self.head = self.found.find(b"\r\n\r\n") + 4
            if self.head < 4:
                return None
            length = _LENGTH.search(self.found, 0, self.head)
            if length is None:
                raise ConnectionError("no length")
            self.size = self.head + int(length[1])
        return (self.found[9:12].decode(), self.found[self.head :]) if len(self.found) >= self.size else None


def _load(host: str, port: int, requests: Sequence[bytes], clients: int, seconds: float, timeout: float) -> Answers:
    answers, selector, next_number = Answers(), selectors.DefaultSelector(), 0
    asking = [_Client((host, port), selector) for _ in range(clients)]
    start, used = time.perf_counter(), time.process_time()

    def ask(client: _Client) -> None:
        nonlocal next_number
        client.ask(next_number % len(requests), requests[next_number % len(requests)])
        next_number += 1

    for client in asking:
        ask(client)
    while asking:
        ready = selector.select(timeout)
        if not ready:
            answers.errors["no answer in time"] += len(asking)
            break
        for key, _ in ready:
            client = key.data
            try:
                answer = client.read()
            except OSError as error:
                answers.errors[type(error).__name__] += 1
                selector.unregister(client.socket)
                asking.remove(client)
                continue
            if answer is None:
                continue
            now = time.perf_counter()
            status, body = answer
            if status == "200":
                answers.took.append(now - client.begun)
                answers.numbers.append(client.number)
                answers.bodies.append(body)
            else:
                answers.errors[f"HTTP {status}"] += 1
            if now < start + seconds:
                ask(client)
            else:
                selector.unregister(client.socket)
                asking.remove(client)
    answers.seconds = time.perf_counter() - start
    answers.processor_seconds = time.process_time() - used
    return answers


if __name__ == "__main__":
    pickle.dump(vars(_load(*pickle.load(sys.stdin.buffer))), sys.stdout.buffer)
