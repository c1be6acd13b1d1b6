"""The OpenAI front with the real client in front of it and the real server behind it."""

import asyncio
import base64
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest
from served import CLOSE, free_port, mixed, stopped

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import EngineError
from lam_engines.serving.openai import OpenAiFront, Settings, bind

if TYPE_CHECKING:
    from lam_engines.serving.triton import TritonServer
    from lam_engines.serving.triton.installation import Installation

MODEL = "tiny"


@pytest.fixture(scope="module")
def front(tiny_server: "TritonServer") -> Iterator[OpenAiFront]:
    with OpenAiFront(Settings(triton=tiny_server.grpc_url, model=MODEL), bind("127.0.0.1", 0)) as front:
        yield front


@pytest.fixture
def client(front: OpenAiFront) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=front.url, api_key="none", max_retries=0) as client:
        yield client


def address(front: OpenAiFront) -> str:
    """HOST:PORT."""
    return front.url.removeprefix("http://").removesuffix("/v1")


def vectors(answer: Any) -> np.ndarray:
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return np.array([item.embedding for item in answer.data], dtype=np.float32)


def post(url: str, body: bytes, path: str = "/embeddings", **headers: str) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of a POST, without OpenAI's client."""
    connection = http.client.HTTPConnection(url.removeprefix("http://").removesuffix("/v1"), timeout=60)
    try:
        connection.request("POST", f"/v1{path}", body, headers)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.headers.items()}, json.loads(response.read())
    finally:
        connection.close()


def error(url: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Status and error of a request that is refused, in OpenAI's shape."""
    status, headers, body = post(url, json.dumps({"model": MODEL, "input": "cat", **fields}).encode())
    assert headers["x-request-id"].startswith("req_")
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert "\n" not in body["error"]["message"]
    return status, body["error"]


@pytest.mark.parametrize("encoding", ["float", "base64", openai.NOT_GIVEN])
def test_embeddings_are_the_engines(client: openai.OpenAI, tiny_engine: EmbeddingEngine, encoding: Any) -> None:
    texts = [text for text in mixed(150) if text != "\ud800"]  # no JSON can hold it
    answer = client.embeddings.create(model=MODEL, input=texts, encoding_format=encoding)
    if encoding == "base64":
        found = np.stack([np.frombuffer(base64.b64decode(item.embedding), dtype="<f4") for item in answer.data])
    else:
        found = vectors(answer)
    np.testing.assert_allclose(found, tiny_engine.embed(texts), **CLOSE)
    tokens = sum(len(ids) for ids in tiny_engine.tokenizer.encode(texts))
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens, answer.model) == (tokens, tokens, MODEL)
    assert (answer.object, answer.data[0].object) == ("list", "embedding")


def test_one_text(client: openai.OpenAI, tiny_engine: EmbeddingEngine) -> None:
    answer = client.embeddings.create(model=MODEL, input="the cat sleeps", dimensions=32, user="somebody")
    np.testing.assert_allclose(vectors(answer), tiny_engine.embed(["the cat sleeps"]), **CLOSE)


def test_many_at_once(front: OpenAiFront, tiny_engine: EmbeddingEngine) -> None:
    texts = [text for text in mixed(100) if text != "\ud800"]

    async def ask() -> list[np.ndarray]:
        async with openai.AsyncOpenAI(base_url=front.url, api_key="none", max_retries=0) as client:

            async def one(text: str) -> np.ndarray:
                return vectors(await client.embeddings.create(model=MODEL, input=[text]))

            return await asyncio.gather(*map(one, texts))

    np.testing.assert_allclose(np.concatenate(asyncio.run(ask())), tiny_engine.embed(texts), **CLOSE)


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "lam-export"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")


@pytest.mark.parametrize(
    ("fields", "status", "param", "message"),
    [
        (
            {"model": "text-embedding-3-small"},
            404,
            "model",
            "expected the model 'tiny', found 'text-emb",
        ),
        ({"dimensions": 16}, 400, "dimensions", "expected 32"),
        ({"dimensions": 0}, 400, "dimensions", "greater than or equal to 1"),
        ({"encoding_format": "int8"}, 400, "encoding_format", "'float' or 'base64'"),
        ({"input": []}, 400, "input", "expected 1 to 2048 texts, found 0"),
        ({"input": ["cat"] * 2049}, 400, "input", "expected 1 to 2048 texts, found 2049"),
        ({"input": [91, 92]}, 400, "input", "check_embedding_ctx_length=False"),
        ({"input": [[91, 92], [93]]}, 400, "input", "send the text itself"),
        ({"input": ["cat", None]}, 400, "input", r"input\[1\]: expected a string, found NoneType"),
        ({"input": 7}, 400, "input", "input"),
        ({"dimension": 32}, 400, "dimension", "unrecognized request argument"),
        ({"x" * 1000: 1}, 400, "x" * 100, "unrecognized request argument"),
        ({"model": "x" * 1000}, 404, "model", "found 'x{100}'$"),
        ({"input": ["cat", "cat " * 20_000]}, 400, "input", r"found 20,00\d in text 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_refused(front: OpenAiFront, fields: dict[str, Any], status: int, param: str, message: str) -> None:
    found_status, found = error(front.url, **fields)
    assert (found_status, found["param"], found["type"]) == (status, param, "invalid_request_error")
    assert re.search(message, found["message"]), found["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model": "tiny", "input": "\xff"}', b"[" * 100_000, b"null", b"NaN"]
)
def test_no_json(front: OpenAiFront, body: bytes) -> None:
    status, _, answer = post(front.url, body)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


def test_openais_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input=[[1, 2, 3]])
    assert caught.value.code == "token_ids_not_supported"
    assert caught.value.request_id
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
    assert unknown.value.code == "unknown_url"


def test_wrong_method(front: OpenAiFront) -> None:
    status, headers, body = post(front.url, b"{}", "/models")
    assert (status, body["error"]["message"]) == (405, "Method Not Allowed: POST /v1/models")
    assert (set(headers["allow"].split(", ")), headers["x-request-id"][:4]) == ({"GET", "HEAD"}, "req_")


@pytest.mark.parametrize("given", ["mine-1", "a b", "x" * 200, ""])
def test_request_ids(front: OpenAiFront, given: str) -> None:
    _, headers, _ = post(front.url, b"{}", **{"X-Request-ID": given})
    assert (headers["x-request-id"] == given) is (given == "mine-1")


@pytest.mark.parametrize("size", [2_000_000, 50_000_000])
def test_a_huge_body(tiny_server: "TritonServer", size: int) -> None:
    with OpenAiFront(Settings(triton=tiny_server.grpc_url, max_body=1_000_000), bind("127.0.0.1", 0)) as front:
        body = json.dumps({"model": "lam_embed", "input": "a" * size}).encode()
        status, _, answer = post(front.url, body)
        assert (status, answer["error"]["type"]) == (413, "invalid_request_error")
        with openai.OpenAI(base_url=front.url, api_key="none", max_retries=0) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                client.embeddings.create(model="lam_embed", input="a" * size)
            assert caught.value.status_code == 413
            assert vectors(client.embeddings.create(model="lam_embed", input="cat")).shape == (1, 32)


@pytest.mark.heavy
def test_no_server_behind_it() -> None:
    settings = Settings(triton=f"127.0.0.1:{free_port()}", model=MODEL, timeout=0.5)
    with OpenAiFront(settings, bind("127.0.0.1", 0)) as front:
        status, found = error(front.url)
        assert (status, found["type"]) == (503, "server_error")
        assert found["code"] in ("server_unavailable", "timeout")
        assert health(front)[0] == 503
        with openai.OpenAI(base_url=front.url, api_key="none") as client, pytest.raises(openai.InternalServerError):
            client.with_options(max_retries=1).embeddings.create(model=MODEL, input="cat")


def test_a_server_that_does_not_answer(tiny_server: "TritonServer") -> None:
    with OpenAiFront(Settings(triton=tiny_server.grpc_url, model=MODEL, timeout=1), bind("127.0.0.1", 0)) as front:
        with stopped(tiny_server.pid):
            status, found = error(front.url)
        assert (status, found["code"]) == (504, "timeout")
        assert health(front) == (200, {"status": "ok"})


def health(front: OpenAiFront) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address(front), timeout=60)
    connection.request("GET", "/health")
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_a_client_that_sends_too_slowly(tiny_server: "TritonServer") -> None:
    with OpenAiFront(Settings(triton=tiny_server.grpc_url, timeout=0.5), bind("127.0.0.1", 0)) as front:
        connection = http.client.HTTPConnection(address(front), timeout=60)
        connection.putrequest("POST", "/v1/embeddings")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b'{"model"')
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["error"]["code"]) == (408, "timeout")


def test_texts_that_are_cut_are_counted(
    tiny_bundle: Path, triton_installation: "Installation", tiny_engine: EmbeddingEngine, tmp_path: Path
) -> None:
    from lam_engines.serving.triton import ServingOptions, TritonServer, write_repository

    options = ServingOptions(max_tokens=16, truncation="truncate")
    repository = write_repository(tiny_bundle, tmp_path / "models", options)
    with TritonServer(repository, installation=triton_installation) as server:
        settings = Settings(triton=server.grpc_url, model=MODEL)
        with (
            OpenAiFront(settings, bind("127.0.0.1", 0)) as front,
            openai.OpenAI(base_url=front.url, api_key="no") as client,
        ):
            create = client.embeddings.with_raw_response.create
            cut = create(model=MODEL, input=["cat", "cat " * 60, "the dog runs " * 60])
            whole = create(model=MODEL, input=["cat"])
    assert cut.headers["x-lam-truncated"] == "2"
    assert cut.parse().usage.prompt_tokens == 3 + 16 + 16
    assert "x-lam-truncated" not in whole.headers
    np.testing.assert_allclose(vectors(cut.parse())[:1], tiny_engine.embed(["cat"]), **CLOSE)
    np.testing.assert_allclose(vectors(cut.parse())[1:2], tiny_engine.embed(["cat " * 14]), **CLOSE)


def test_a_client_that_hangs_up_is_not_worked_for(tiny_server: "TritonServer", front: OpenAiFront) -> None:
    def served() -> int:
        from tritonclient.grpc import InferenceServerClient

        with InferenceServerClient(tiny_server.grpc_url) as triton:
            return triton.get_inference_statistics("lam_core", client_timeout=10).model_stats[0].inference_count

    texts = ["the dog runs " * 400] * 1500
    before = served()
    host, port = address(front).split(":")
    body = json.dumps({"model": MODEL, "input": texts}).encode()
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/embeddings HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        deadline = time.monotonic() + 30
        while served() == before and time.monotonic() < deadline:
            time.sleep(0.02)
    # What the server had begun, it finishes.
    done = [served()]
    while time.monotonic() < deadline and (len(done) < 10 or done[-1] != done[-10]):
        time.sleep(0.2)
        done.append(served())
    assert 0 < done[-1] - before < len(texts)


def test_a_port_in_use(front: OpenAiFront) -> None:
    port = int(front.url.removesuffix("/v1").rpartition(":")[2])
    with pytest.raises(EngineError, match=rf"expected a free port at 127\.0\.0\.1:{port}, found none"):
        bind("127.0.0.1", port)
    assert front.alive


def test_what_is_under_way_is_finished_when_it_stops(tiny_server: "TritonServer", tiny_engine: EmbeddingEngine) -> None:
    texts = ["the dog runs"] * 200
    with ThreadPoolExecutor(1) as pool:
        with OpenAiFront(Settings(triton=tiny_server.grpc_url, model=MODEL), bind("127.0.0.1", 0)) as front:
            client = openai.OpenAI(base_url=front.url, api_key="none", max_retries=0)
            with stopped(tiny_server.pid):
                asked = pool.submit(client.embeddings.create, model=MODEL, input=texts)
                time.sleep(1)
                front.stop()
                time.sleep(0.5)
                assert not asked.done()
        np.testing.assert_allclose(vectors(asked.result()), tiny_engine.embed(texts), **CLOSE)
        with pytest.raises(openai.APIConnectionError):
            client.embeddings.create(model=MODEL, input="cat")
    assert not front.alive
