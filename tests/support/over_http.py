"""Asking the own server over HTTP without a client of ours in between, politely or not."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from lam_engines.serving.http import HttpServer

JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """Of one request."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def ask(server: HttpServer, path: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
    """One request on a connection of its own. ``body``: bytes as they are, all else as JSON."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content is not None and "Content-Type" not in named:
        named |= JSON
    connection = connection_to(server)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, content, named)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
    finally:
        connection.close()


def connection_to(server: HttpServer) -> http.client.HTTPConnection:
    host, port = place(server)
    return http.client.HTTPConnection(host, port, timeout=60)


def place(server: HttpServer) -> tuple[str, int]:
    """Host and port."""
    host, _, port = server.url.rpartition("//")[2].rpartition(":")
    return host, int(port)


def raw(server: HttpServer, *sent: bytes, timeout: float = 30) -> bytes:
    """All that the server answers to these bytes until it closes the connection, or until it says no more in time."""
    with socket.create_connection(place(server), timeout) as connection:
        try:
            for part in sent:
                connection.sendall(part)
        except OSError:  # it has closed while we sent
            pass
        answer = b""
        try:
            while part := connection.recv(1 << 16):
                answer += part
        except OSError:
            pass
        return answer


def request_of(body: bytes, path: str = "/v1/embeddings", *lines: str, length: bool = True, last: bool = True) -> bytes:
    """A request as bytes; ``last``: the connection is closed after the answer."""
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *lines]
    head += ["Connection: close"] if last else []
    head += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*head, "", ""]).encode() + body


@contextmanager
def held_up(server: HttpServer) -> Iterator[tuple[threading.Event, list[int]]]:
    """The engine of a server whose batches wait. They go on when the event is set.

    Yields:
        The event, and the number of texts of each batch that was begun.
    """
    engine = server.models.first.engine
    real, going, begun = engine.embed_encoded, threading.Event(), []

    def embed_encoded(*arguments: Any) -> Any:
        begun.append(len(arguments[0]))
        assert going.wait(60)
        return real(*arguments)

    engine.embed_encoded = embed_encoded  # type: ignore[method-assign]
    try:
        yield going, begun
    finally:
        going.set()
        del engine.embed_encoded
