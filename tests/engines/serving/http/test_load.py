"""Many clients: right answers, refusals in time, clients that leave, and probes in the middle of it."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from over_http import ask, held_up, place, request_of
from served import CLOSE, mixed

from lam_engines import load_engine
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.http import HttpOptions, HttpServer

LONG = {"model": "bundle", "input": "the dog runs " * 300}


def tokens(server: HttpServer, text: str) -> int:
    return len(server.models.first.engine.tokenizer.encode([text])[0])


def eventually(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sample(server: HttpServer, name: str, **labels: str) -> float:
    model = server.models.first.labels
    known = {"model": model.model, "engine": model.engine, "precision": model.precision}
    for about in ({}, known):
        if (value := server.metrics.registry.get_sample_value(name, {**about, **labels})) is not None:
            return value
    return 0.0


@pytest.fixture(scope="module")
def patient(tiny_bundle: Path) -> Iterator[HttpServer]:
    """Two hundred clients of this process may take seconds to send what they have begun."""
    with HttpServer([tiny_bundle], HttpOptions(port=0, read_timeout=60)) as server:
        yield server


@pytest.mark.heavy
@pytest.mark.parametrize("clients", [1, 8, 32, 200])
def test_answers_are_the_engines_and_never_swapped(
    patient: HttpServer, tiny_engine: EmbeddingEngine, clients: int
) -> None:
    texts = [text.replace("\ud800", "\ufffd") for text in mixed(500)]
    waiting = list(enumerate(texts))
    found = np.zeros((len(texts), 32), np.float32)

    async def client(asking: httpx.AsyncClient) -> None:
        while waiting:
            i, text = waiting.pop()
            answer = await asking.post("/v1/embeddings", json={"model": "bundle", "input": [text]})
            found[i] = answer.json()["data"][0]["embedding"]

    async def run() -> None:
        limits = httpx.Limits(max_connections=clients)
        async with httpx.AsyncClient(base_url=patient.url, timeout=60, limits=limits) as asking:
            await asyncio.gather(*(client(asking) for _ in range(clients)))

    asyncio.run(run())
    np.testing.assert_allclose(found, tiny_engine.embed(texts), **CLOSE)


def test_probes_need_no_place_in_the_queue(server: HttpServer) -> None:
    with held_up(server) as (going, _), ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(ask, server, "/v1/embeddings", LONG) for _ in range(100)]
        eventually(lambda: server.models.first.waiting_tokens > 80 * 800)
        for path in ("/livez", "/health", "/v2/health/live", "/metrics", "/v1/models"):
            assert ask(server, path).status == 200
        assert ask(server, "/readyz").status in (200, 503)
        going.set()
        assert {found.result().status for found in asked} <= {200, 429}


def test_the_work_of_clients_that_left_is_not_done(server: HttpServer) -> None:
    model = server.models.first
    long, short = tokens(server, LONG["input"]), tokens(server, "hi")
    dropped, done = sample(server, "lam_abandoned_texts_total"), sample(server, "lam_texts_total")
    gone = {"path": "/v1/embeddings", "status": "499"}
    left = sample(server, "lam_requests_total", **gone)
    with held_up(server) as (going, begun):
        opened = [socket.create_connection(place(server), 30) for _ in range(80)]
        for connection in opened:
            connection.sendall(request_of(json.dumps(LONG).encode()))
        eventually(lambda: model.waiting_tokens == 80 * long and begun == [1])
        for connection in opened:
            connection.close()
        eventually(lambda: model.waiting_tokens == long)  # the batch in hand
        assert sample(server, "lam_abandoned_texts_total") == dropped + 79
        assert sample(server, "lam_requests_total", **gone) == left + 80
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, server, "/v1/embeddings", {"model": "bundle", "input": "hi"})
            eventually(lambda: model.waiting_tokens == long + short)
            going.set()
            assert asked.result().status == 200
        assert begun == [1, 1], "one batch was in hand, and the short text is the next"
    eventually(lambda: sample(server, "lam_texts_total") > done)
    assert sample(server, "lam_texts_total") - done <= 2


def test_too_much_work_is_refused_at_once_by_its_tokens(tiny_bundle: Path) -> None:
    with HttpServer([tiny_bundle], HttpOptions(port=0, queue_timeout=0.02)) as server, held_up(server) as (going, _):
        model = server.models.first
        with ThreadPoolExecutor(64) as pool:
            asked = []
            while not model.overloaded:
                asked.append(pool.submit(ask, server, "/v1/embeddings", LONG))
                time.sleep(0.02)
                assert len(asked) < 64
            for path in ("/v1/embeddings", "/embed", "/v2/models/bundle/infer"):
                tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hi"]}
                inputs = [tensor] if path.startswith("/v2") else "hi"
                refused = ask(server, path, {"model": "bundle", "input": "hi", "inputs": inputs})
                assert refused.status == 429
                assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert ask(server, "/embed", {"inputs": "hi"}).json["error_type"] == "overloaded"
            assert ask(server, "/readyz").status == 503
            assert ask(server, "/livez").status == 200
            assert sample(server, "lam_rejected_total", reason="overloaded") >= 4
            going.set()
            assert 200 in {found.result().status for found in asked}
        eventually(lambda: ask(server, "/readyz").status == 200)
        assert ask(server, "/v1/embeddings", {"model": "bundle", "input": "hi"}).status == 200


def test_a_short_text_overtakes_long_ones_and_they_are_done_too(server: HttpServer) -> None:
    model, long, hi = server.models.first, tokens(server, LONG["input"]), tokens(server, "hi")
    with held_up(server) as (going, begun), ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(ask, server, "/v1/embeddings", LONG) for _ in range(20)]
        eventually(lambda: model.waiting_tokens == 20 * long)
        short = [pool.submit(ask, server, "/v1/embeddings", {"model": "bundle", "input": "hi"}) for _ in range(8)]
        eventually(lambda: model.waiting_tokens == 20 * long + 8 * hi)
        going.set()
        assert {found.result().status for found in (*short, *asked)} == {200}
    assert 8 in begun[:3], f"all short ones are in the second or third batch: {begun}"


@pytest.mark.needs("openvino")
def test_batches_beside_each_other(tiny_bundle: Path, tiny_engine: EmbeddingEngine) -> None:
    texts = [text for text in mixed(60) if text != "\ud800"]
    with HttpServer([tiny_bundle], HttpOptions(port=0), engine="openvino", threads=2) as server:
        with held_up(server) as (going, begun), ThreadPoolExecutor(len(texts)) as pool:
            asked = [pool.submit(ask, server, "/embed", {"inputs": text}) for text in texts]
            eventually(lambda: len(begun) == 2)
            assert server.models.first.moves
            going.set()
            found = [answer.result().json[0] for answer in asked]
        assert server.models.first.waiting_tokens == 0
    np.testing.assert_allclose(found, tiny_engine.embed(texts), **CLOSE)


def test_it_is_ready_soon_after_the_engine_is_loaded(tiny_bundle: Path) -> None:
    """In processor time, because other work on the machine delays the clock."""
    begun = time.process_time()
    with load_engine(tiny_bundle):
        loaded = time.process_time()
    with HttpServer([tiny_bundle], HttpOptions(port=0)) as server:
        assert ask(server, "/readyz").status == 200
        assert time.process_time() - loaded < 2 + (loaded - begun)


def test_a_batch_that_fails_fails_alone(server: HttpServer) -> None:
    engine = server.models.first.engine
    real = engine.embed_encoded

    def embed_encoded(*arguments: object) -> object:
        raise RuntimeError("broken")

    engine.embed_encoded = embed_encoded  # type: ignore[method-assign,assignment]
    try:
        answer = ask(server, "/v1/embeddings", LONG)
        assert (answer.status, answer.json["error"]["type"]) == (500, "server_error")
        assert "broken" not in answer.json["error"]["message"]
    finally:
        engine.embed_encoded = real  # type: ignore[method-assign]
    assert ask(server, "/v1/embeddings", LONG).status == 200
    assert ask(server, "/livez").status == 200


def test_no_thread_is_left(tiny_bundle: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with HttpServer([tiny_bundle], HttpOptions(port=0)) as server:
        assert ask(server, "/v1/embeddings", LONG).status == 200
    eventually(lambda: {thread.name for thread in threading.enumerate()} <= before | {"asyncio_0"})
