"""The whole list of abuse at once, beside clients that behave, for a while."""

import contextlib
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from over_http import ask, place, raw, request_of
from served import CLOSE, mixed

from lam_engines.serving.http import HttpServer


@dataclass
class Abused:
    """What came of it."""

    answered: int = 0
    """Good requests answered with their embeddings."""
    refused: int = 0
    """Good requests refused because there was too much to do."""
    wrong: list[str] = field(default_factory=list)
    """Good requests answered otherwise."""
    attacks: int = 0
    memory_before: int = 0
    memory_after: int = 0
    """Resident bytes of the process, once the server had seen every kind of abuse, and at the end."""


def abused(server: HttpServer, seconds: float, good: int = 8, bad: int = 8) -> Abused:
    """Abuse a server of this process."""
    found = Abused()
    texts = [text.replace("\ud800", "?") for text in mixed(60)]
    model = server.models.first
    expected = model.engine.embed(texts)
    end = time.monotonic() + seconds
    lock = threading.Lock()

    def behave() -> None:
        while time.monotonic() < end:
            i = random.randrange(len(texts))
            try:
                answer = ask(server, "/v1/embeddings", {"model": model.name, "input": texts[i]})
            except OSError as error:
                with lock:
                    found.wrong.append(repr(error))
                continue
            with lock:
                if answer.status == 429:
                    found.refused += 1
                elif answer.status != 200:
                    found.wrong.append(f"{answer.status} {answer.content[:100]!r}")
                elif np.allclose(answer.json["data"][0]["embedding"], expected[i], **CLOSE):
                    found.answered += 1
                else:
                    found.wrong.append("another embedding")

    def attack() -> None:
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                random.choice(_ATTACKS)(server)
            with lock:
                found.attacks += 1

    threads = [threading.Thread(target=behave) for _ in range(good)]
    threads += [threading.Thread(target=attack) for _ in range(bad)]
    for one in _ATTACKS:
        with contextlib.suppress(OSError):
            one(server)
    for thread in threads:
        thread.start()
    time.sleep(seconds / 4)
    found.memory_before = _resident()
    for thread in threads:
        thread.join()
    found.memory_after = _resident()
    return found


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _leave(server: HttpServer) -> None:
    body = json.dumps({"model": "bundle", "input": ["the dog runs " * 200] * 20}).encode()
    with socket.create_connection(place(server), 30) as connection:
        connection.sendall(request_of(body)[: random.randrange(40, len(body))])
        time.sleep(random.random() / 5)


def _slow(server: HttpServer) -> None:
    with socket.create_connection(place(server), 30) as connection:
        for byte in request_of(b'{"model": "bundle"')[: random.randrange(20, 100)]:
            connection.sendall(bytes([byte]))
            time.sleep(0.01)


def _sent(*content: bytes) -> Callable[[HttpServer], None]:
    def attack(server: HttpServer) -> None:
        raw(server, *content, timeout=10)

    return attack


_CHUNKS = b"POST /embed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 100_000
_ATTACKS: list[Callable[[HttpServer], None]] = [
    _leave,
    _slow,
    _sent(request_of(b'{"model": "bundle", "input": "' + b"a " * 25_000_000 + b'"}')),
    _sent(request_of(b"[" * 1_000_000)),
    _sent(request_of(b'{"a":' * 1_000_000)),
    _sent(request_of(b'{"model": "bundle", "input": [' + b'"a",' * 99_999 + b'"a"]}')),
    _sent(request_of(b'{"inputs": [' + b"[]," * 1_000_000 + b"1]}", "/embed")),
    _sent(request_of(b'{"model": "bundle", "input": "\xff\xfe\x00"}')),
    _sent(request_of(b'{"model": "bundle", "input": "\\ud800\\u0000"}')),
    _sent(request_of(b"{}", "/v1/embeddings", "X-Long: " + "a" * 1_000_000)),
    _sent(request_of(b"{}", "/v1/embeddings", *(f"X-{i}: a" for i in range(10_000)))),
    _sent(request_of(b"0\r\n\r\nGET /v1/models HTTP/1.1\r\n\r\n", "/embed", "Transfer-Encoding: chunked")),
    _sent(b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    _sent(_CHUNKS),
    _sent(os.urandom(10_000)),
    _sent(
        request_of(b"{x}", last=False), request_of(b"{}", "/nope", last=False), request_of(b'{"inputs": "a"}', "/embed")
    ),
]
