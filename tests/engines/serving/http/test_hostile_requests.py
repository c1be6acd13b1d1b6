"""What a stranger sends: nothing of it brings the server down, and a good request is answered after each."""

import json
import os
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from over_http import ask, place, raw, request_of

from lam_engines.serving.http import HttpOptions, HttpServer

pytestmark = pytest.mark.heavy

GOOD = {"model": "bundle", "input": "the cat sleeps"}
MANY = b'{"model": "bundle", "input": [' + b'"a",' * 99_999 + b'"a"]}'


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"^HTTP/1.1 (\d+)", answer, re.MULTILINE)]


def chunked(*parts: bytes) -> bytes:
    head = request_of(b"", "/v1/embeddings", "Transfer-Encoding: chunked", length=False)
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request_of(b'{"model": "bundle", "input": "' + b"a " * 4_000_000 + b'"}'), 413),
        (request_of(b'{"model": "bundle", "input": "' + b"a " * 25_000_000 + b'"}'), 413),
        (request_of(b'{"a":' * 1_000_000), 400),
        (request_of(b"[" * 1_000_000), 400),
        (request_of(b'{"model": "bundle", "input": ' + b"[" * 1_000_000), 400),
        (request_of(b'{"model": "bundle", "input": "a", "z": ' + b"[" * 100_000), 400),
        (request_of(b'{"inputs": ' + b"[" * 1_000_000, "/embed"), 400),
        (request_of(b'{"inputs": [{"a":' * 100_000, "/v2/models/bundle/infer"), 400),
        (request_of(MANY), 400),
        (request_of(b'{"model": "bundle", "input": "\xff\xfe"}'), 400),
        (request_of(b'{"model": "bundle", "input": "a\\u0000b", "dimensions": ' + b"9" * 5000 + b"}"), 400),
        (request_of(b'{"model": "bundle", "input": "a"}', "/v1/embeddings", "X-Long: " + "a" * 1_000_000), 400),
        (request_of(b"{}", "/v1/embeddings", *(f"X-{i}: a" for i in range(10_000))), 400),
        (request_of(b"{}", "/v1/embeddings", "Content-Length: 5"), 400),
        (request_of(b"{}", "/v1/embeddings", "Transfer-Encoding : chunked", length=False), 400),
        (request_of(b"{}", "/v1/embeddings", "Transfer-Encoding: xchunked", length=False), 400),
        (request_of(b"", "/v1/embeddings", "Content-Length: -1", length=False), 400),
        (request_of(b"{}", "/v1/embeddings", "X-Request-Id: a\rb"), 400),
        (request_of(b"{}", "/v1/embeddings", "Host: other"), 400),
        (chunked(*[b" "] * 800_000), 400),
        (chunked(b'{"model": "bundle",', b' "input": ["cat"]}'), 200),
        (b"GET /v1/models\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500 + b"\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\nHost: localhost\n\n", 400),
        (b"GET /v1/models HTTP/2.0\r\nHost: localhost\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET http://evil.example/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"POST /embed HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (request_of(b"{}", "/v1/embeddings", "Transfer-Encoding: gzip, chunked", length=False), 400),
        (chunked().removesuffix(b"0\r\n\r\n") + b"1;" + b"x" * 1_000_000, 400),
        (chunked(b"{").removesuffix(b"\r\n") + b"X-Trailer: " + b"x" * 1_000_000, 400),
        (b"GET /livez HTTP/1.1\r\nHost: " + b"x" * 40_000 + b"\r\n\r\n", 400),
        (b"GET /v1/../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"GET /v1/models/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"GET /v2/logging HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (request_of(b"{}", "/v2/systemsharedmemory/region/x/register"), 404),
        (
            b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n",
            200,
        ),
    ],
    ids=lambda value: f"{value[:30]!r}-{len(value)}" if isinstance(value, bytes) else str(value),
)
def test_refused_and_nothing_breaks(server: HttpServer, sent: bytes, status: int) -> None:
    found = statuses(raw(server, sent))
    # A connection that is closed while the client still sends may lose the answer.
    assert found == [status] or (len(sent) > 100_000 and not found)
    assert ask(server, "/v1/embeddings", GOOD).status == 200


def test_the_largest_request_of_triton_is_no_burden(server: HttpServer) -> None:
    texts = ["the " * 7_000] * 64
    answer = ask(server, "/v1/embeddings", {"model": "bundle", "input": texts})
    assert (answer.status, answer.json["error"]["code"]) == (413, None)
    assert "expected at most 262,144 tokens in a request, found 448,128" in answer.json["error"]["message"]


def test_a_second_request_is_not_smuggled(server: HttpServer) -> None:
    hidden = b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    lines = ("Content-Length: 4", "Transfer-Encoding: chunked")
    answer = raw(server, request_of(hidden, "/v1/embeddings", *lines, length=False))
    assert statuses(answer) == [400]
    assert b"expected Content-Length or Transfer-Encoding, found both" in answer


def test_requests_on_their_way_are_answered_before_what_is_none(server: HttpServer) -> None:
    good, last = (request_of(json.dumps(GOOD).encode(), last=last) for last in (False, True))
    live = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sent = {
        good + live + last: 3,
        good + live + b"no HTTP" + last: 2,
        good + live * 2000: 17,  # so many may wait behind the one in hand
        live.replace(b"GET", b"HEAD") + last: 2,
    }
    for requests, answers in sent.items():
        answer = raw(server, requests)
        assert (answer.count(b"HTTP/1.1 200"), answer.count(b"HTTP/1.1 ")) == (answers, answers)


def test_other_types_and_hosts_are_refused(server: HttpServer) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"):
        answer = ask(server, "/v1/embeddings", GOOD, Content_Type=kind)
        assert (answer.status, kind in answer.json["error"]["message"]) == (415, True)
    assert ask(server, "/v1/embeddings", GOOD, Content_Type="application/json; charset=utf-8").status == 200
    assert ask(server, "/v1/embeddings", GOOD, Content_Type="", Origin="https://evil.example").status == 415
    assert ask(server, "/v1/embeddings", GOOD, Content_Type="").status == 200
    for host, status in {"evil.example": 403, "localhost:1": 200, "LOCALHOST": 200, "[::1]:8080": 200}.items():
        assert ask(server, "/v1/models", Host=host).status == status
    assert ask(server, "/livez", Host="10.0.0.7:8080").status == 200


@pytest.mark.parametrize("path", ["/v1/embeddings/", "//evil.example/", "/v1/models/bundle/"])
def test_nothing_redirects(server: HttpServer, path: str) -> None:
    answer = ask(server, path, GOOD if "embed" in path else None)
    assert answer.status in (404, 405)
    assert "location" not in answer.headers


def test_half_sent_heads_are_closed_and_others_served_meanwhile(server: HttpServer) -> None:
    opened = [socket.create_connection(place(server), 30) for _ in range(300)]
    try:
        for connection in opened:
            connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nX-a: ")
        assert ask(server, "/v1/embeddings", GOOD).status == 200
        assert {connection.recv(1) for connection in opened} == {b""}
    finally:
        for connection in opened:
            connection.close()


def test_a_body_that_does_not_come(server: HttpServer) -> None:
    answer = raw(server, b"".join(request_of(b"{" * 100).partition(b"{{")[:1]) + b"{")
    assert statuses(answer) == [408]


def test_an_answer_that_is_not_read(server: HttpServer) -> None:
    body = b'{"model": "bundle", "input": [' + b'"cat",' * 2047 + b'"cat"]}'
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(place(server))
        connection.sendall(request_of(body))
        time.sleep(0.5)
        assert ask(server, "/v1/embeddings", GOOD).status == 200


def test_more_connections_than_allowed_are_closed(tiny_bundle: Path) -> None:
    with HttpServer([tiny_bundle], HttpOptions(port=0, max_connections=5)) as server:
        opened = [socket.create_connection(place(server), 10) for _ in range(20)]
        closed = 0
        for connection in opened:
            connection.settimeout(0.3)
            try:
                closed += connection.recv(1) == b""
            except ConnectionError:
                closed += 1
            except TimeoutError:
                pass
            connection.close()
        assert closed == 15
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                assert ask(server, "/v1/embeddings", GOOD).status == 200
                break
            except ConnectionError:  # the five are not yet gone
                time.sleep(0.05)


def test_large_bodies_at_once_are_refused(tiny_bundle: Path) -> None:
    with HttpServer([tiny_bundle], HttpOptions(port=0, max_body=1_000_000, read_timeout=5)) as server:
        opened = [socket.create_connection(place(server), 30) for _ in range(5)]
        for connection in opened[:4]:
            connection.sendall(b"".join(request_of(b"{" * 1_000_000).partition(b"{{")[:1]))
        deadline = time.monotonic() + 10
        while ask(server, "/v1/embeddings", GOOD).status != 429:
            assert time.monotonic() < deadline
        for connection in opened:
            connection.close()
        while ask(server, "/v1/embeddings", GOOD).status != 200:
            assert time.monotonic() < deadline


@pytest.mark.slow
def test_abuse_for_a_while_at_full_load(tiny_bundle: Path) -> None:
    from abuse import abused

    with HttpServer([tiny_bundle], HttpOptions(port=0, read_timeout=2)) as server:
        found = abused(server, seconds=float(os.environ.get("LAM_SOAK_SECONDS", "10")))
    print(found)
    assert found.wrong == []
    assert found.answered > 50
    assert found.attacks > 20
    assert found.memory_after < found.memory_before * 1.1
    assert threading.active_count() < 50
