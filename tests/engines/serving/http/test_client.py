"""Our client at our server."""

import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from over_http import held_up
from served import CLOSE, free_port, mixed

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import InputError
from lam_engines.serving.client import (
    AsyncEmbeddingClient,
    EmbeddingClient,
    RefusedError,
    ServerBusyError,
    ServerError,
    ServerTimeoutError,
    ServerUnavailableError,
)
from lam_engines.serving.http import HttpOptions, HttpServer


def test_embeddings_are_the_engines(server: HttpServer, tiny_engine: EmbeddingEngine) -> None:
    texts = mixed(300)
    with EmbeddingClient(server.url) as client:
        found = client.embed_counted(texts, request_id="mine")
        assert client.embed([]).shape == (0, 32)
    assert (found.vectors.dtype, found.tokens.dtype, found.truncated.dtype) == (np.float32, np.int32, np.bool_)
    np.testing.assert_allclose(found.vectors, tiny_engine.embed(texts), **CLOSE)
    assert found.tokens.tolist() == [len(ids) for ids in tiny_engine.tokenizer.encode(texts)]


def test_asyncio(server: HttpServer, tiny_engine: EmbeddingEngine) -> None:
    texts = mixed(60)

    async def ask() -> list[np.ndarray]:
        async with AsyncEmbeddingClient(server.url, model="bundle") as client:
            return await asyncio.gather(client.embed(texts), *(client.embed([text]) for text in texts))

    whole, *single = asyncio.run(ask())
    np.testing.assert_allclose(whole, tiny_engine.embed(texts), **CLOSE)
    np.testing.assert_allclose(np.concatenate(single), whole, **CLOSE)


def test_a_cancelled_call_leaves_the_pool(server: HttpServer) -> None:
    model = server.models.first

    async def ask() -> None:
        async with AsyncEmbeddingClient(server.url) as client:
            await client.served()
            asked = [asyncio.ensure_future(client.embed(["the dog runs " * 300])) for _ in range(5)]
            while model.waiting_tokens < 4 * 900:
                await asyncio.sleep(0.01)
            for one in asked:
                one.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            while model.waiting_tokens > 1000:  # the batch in hand
                await asyncio.sleep(0.01)

    with held_up(server):
        asyncio.run(ask())


@pytest.mark.parametrize("texts", ["one text", {"a": 1}, {"a"}, pd.DataFrame({"a": ["b"]}), ["a", 1], None, 7], ids=str)
def test_what_is_no_list_of_texts(server: HttpServer, texts: object) -> None:
    with EmbeddingClient(server.url) as client, pytest.raises(InputError):
        client.embed(texts)  # type: ignore[arg-type]

    async def ask() -> None:
        async with AsyncEmbeddingClient(server.url) as client:
            with pytest.raises(InputError):
                await client.embed(texts)  # type: ignore[arg-type]

    asyncio.run(ask())


def test_a_refused_text_is_named_by_the_callers_number(server: HttpServer) -> None:
    texts = ["a short one"] * 200 + ["cat " * 20_000, "another"]
    with EmbeddingClient(server.url) as client:
        with pytest.raises(RefusedError, match=r"^bundle refuses the texts: expected .*20,00\d in text 200;"):
            client.embed(texts)
        assert client.embed(["a short one"]).shape == (1, 32)


def test_keys_and_models(tiny_bundle: Path) -> None:
    with HttpServer([tiny_bundle], HttpOptions(port=0, api_keys=("k",))) as server:
        with EmbeddingClient(server.url, api_key="k") as client:
            assert client.embed(["cat"]).shape == (1, 32)
        with EmbeddingClient(server.url) as client, pytest.raises(ServerError, match="give its key: api_key="):
            client.embed(["cat"])
        with (
            EmbeddingClient(server.url, api_key="k", model="../x y") as client,
            pytest.raises(ServerError, match="expected"),
        ):
            client.embed(["cat"])


@pytest.mark.needs("trustme")
def test_tls(tiny_bundle: Path, tmp_path: Path) -> None:
    import trustme

    authority, chain, key, ca = trustme.CA(), tmp_path / "chain", tmp_path / "key", tmp_path / "ca"
    certificate = authority.issue_cert("127.0.0.1")
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    with HttpServer([tiny_bundle], HttpOptions(port=0, tls_cert=chain, tls_key=key)) as server:
        with EmbeddingClient(server.url, ca=str(ca)) as client:
            assert client.embed(["cat"]).shape == (1, 32)
        with EmbeddingClient(server.url, retries=0) as client, pytest.raises(ServerUnavailableError):
            client.embed(["cat"])


def test_no_server_too_slow_and_wrong_addresses(server: HttpServer) -> None:
    absent = EmbeddingClient(f"http://127.0.0.1:{free_port()}", retries=0)
    with absent as client, pytest.raises(ServerUnavailableError, match="start it: lam-export serve"):
        client.embed(["cat"])
    with EmbeddingClient(server.url, timeout=0.5) as client:
        client.served()
        with held_up(server), pytest.raises(ServerTimeoutError, match=r"no answer within 0.5 s"):
            client.embed(["cat"])
    for url in ("127.0.0.1:8001", "ftp://x", "http://"):
        with pytest.raises(InputError, match="expected http://HOST:PORT"):
            EmbeddingClient(url)
    with pytest.raises(InputError, match="expected a PEM file"):
        EmbeddingClient(ca="missing.pem")


def test_it_waits_as_long_as_the_server_says() -> None:
    seen: list[float] = []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(time.monotonic())
            body = b'{"error": "busy"}'
            self.send_response(429)
            self.send_header("Retry-After", "1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    busy = HTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=busy.serve_forever, daemon=True).start()
    asking = EmbeddingClient(f"http://127.0.0.1:{busy.server_port}", retries=1)
    with asking as client, pytest.raises(ServerBusyError, match="too much to do"):
        client.embed(["cat"])
    busy.shutdown()
    busy.server_close()
    assert len(seen) == 2
    assert seen[1] - seen[0] >= 1
