"""OpenAI's API of the own server, with the real client in front of it."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from over_http import ask, raw, request_of
from served import CLOSE, mixed

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.http import HttpServer

MODEL = "bundle"


@pytest.fixture
def client(server: HttpServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def vectors(answer: Any) -> np.ndarray:
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return np.array([item.embedding for item in answer.data], dtype=np.float32)


def error(server: HttpServer, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Status and error of a request that is refused, in OpenAI's shape."""
    status, headers, _ = answer = ask(server, "/v1/embeddings", {"model": MODEL, "input": "cat", **fields})
    body = answer.json
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


def test_many_at_once(server: HttpServer, tiny_engine: EmbeddingEngine) -> None:
    texts = [text for text in mixed(100) if text != "\ud800"]

    async def ask() -> list[np.ndarray]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:

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
            "expected the model 'bundle', found 'text-emb",
        ),
        ({"dimensions": 16}, 400, "dimensions", "expected 32"),
        ({"dimensions": 0}, 400, "dimensions", "expected 32"),
        ({"encoding_format": "int8"}, 400, "encoding_format", "'int8'"),
        ({"input": []}, 400, "input", "expected 1 to 2048 texts, found 0"),
        ({"input": ["cat"] * 2049}, 400, "input", "expected 1 to 2048 texts, found 2049"),
        ({"input": [91, 92]}, 400, "input", "check_embedding_ctx_length=False"),
        ({"input": [[91, 92], [93]]}, 400, "input", "send the text itself"),
        ({"input": ["cat", None]}, 400, "input", r"input\[1\]: Expected `str`, got `null`"),
        ({"input": 7}, 400, "input", "input"),
        ({"model": "x" * 1000}, 404, "model", "found 'x{100}'$"),
        ({"input": ["cat", "cat " * 20_000]}, 413, "input[1]", r"found 20,00\d in text 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_refused(server: HttpServer, fields: dict[str, Any], status: int, param: str, message: str) -> None:
    found_status, found = error(server, **fields)
    assert (found_status, found["param"], found["type"]) == (status, param, "invalid_request_error")
    assert re.search(message, found["message"]), found["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model": "tiny", "input": "\xff"}', b"[" * 100_000, b"null", b"NaN"]
)
def test_no_json(server: HttpServer, body: bytes) -> None:
    answer = ask(server, "/v1/embeddings", body)
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")


def test_openais_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input=[[1, 2, 3]])
    assert caught.value.code == "token_ids_not_supported"
    assert caught.value.request_id
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
    assert unknown.value.code == "unknown_url"


def test_wrong_method(server: HttpServer) -> None:
    status, headers, _ = answer = ask(server, "/v1/models", b"{}")
    assert status == 405
    assert answer.json["error"]["message"].startswith("Method Not Allowed: POST /v1/models; allowed:")
    assert headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("given", ["mine-1", "a b", "x" * 200, ""])
def test_request_ids(server: HttpServer, given: str) -> None:
    _, headers, _ = ask(server, "/v1/embeddings", b"{}", X_Request_ID=given)
    assert (headers["x-request-id"] == given) is (given == "mine-1")


def test_no_encoding_and_a_trailing_slash(server: HttpServer, tiny_engine: EmbeddingEngine) -> None:
    answer = ask(server, "/v1/embeddings", {"model": MODEL, "input": "cat", "encoding_format": None, "user": None})
    np.testing.assert_allclose(answer.json["data"][0]["embedding"], tiny_engine.embed(["cat"])[0], **CLOSE)
    assert "x-lam-warning" not in answer.headers
    slash = ask(server, "/v1/embeddings/", {"model": MODEL, "input": "cat"}, Host="evil.example")
    assert slash.status in (403, 404)
    assert "location" not in slash.headers


def test_unknown_fields_are_named_and_ignored(server: HttpServer) -> None:
    fields = {"model": MODEL, "input": "cat", "dimension": 32, "a\r\nb: c": 1, "nested": [[{}]] * 50}
    answer = ask(server, "/v1/embeddings", fields)
    assert answer.status == 200
    assert answer.headers["x-lam-warning"] == "unknown fields were ignored: dimension, ?, nested"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\ud800", "\ufffd"),
        (r"a\udc00b\uD83D", "a\ufffdb\ufffd"),
        (r"\ud83d\ude00\ude00", "\U0001f600\ufffd"),
        (r"\\ud800 \u00e9", "\\ud800 \u00e9"),
    ],
)
def test_a_lone_surrogate_spoils_no_request(
    server: HttpServer, tiny_engine: EmbeddingEngine, written: str, read: str
) -> None:
    answer = ask(server, "/v1/embeddings", f'{{"model": "{MODEL}", "input": ["cat", "{written}"]}}'.encode())
    found = [item["embedding"] for item in answer.json["data"]]
    np.testing.assert_allclose(found, tiny_engine.embed(["cat", read]), **CLOSE)


def test_a_request_may_ask_to_cut(server: HttpServer, tiny_engine: EmbeddingEngine) -> None:
    most = server.models.first.max_tokens
    fields = {"model": MODEL, "input": ["cat", "cat " * 9000, "x" * 600_000], "truncate": True}
    answer = ask(server, "/v1/embeddings", fields)
    assert answer.headers["x-lam-truncated"] == "2"
    found = answer.json["data"]
    np.testing.assert_allclose(found[1]["embedding"], tiny_engine.embed(["cat " * (most - 2)])[0], **CLOSE)
    assert error(server, input=["cat", "x" * 600_000])[0] == 413


def test_one_connection_takes_many_requests_and_errors(server: HttpServer) -> None:
    good = json.dumps({"model": MODEL, "input": "cat"}).encode()
    sent = [request_of(*what, last=False) for what in ((b"{x}",), (good,), (b"{}", "/nope"), (good,))]
    answer = raw(server, *sent, request_of(good))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"400", b"200", b"404", b"200", b"200"]
