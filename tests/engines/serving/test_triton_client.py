"""The client against the real server: what it returns, and what it says when there is nothing to return."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from served import CLOSE, free_port, mixed, stopped

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
from lam_engines.serving.deployment.probe import failure

if TYPE_CHECKING:
    from lam_engines.serving.triton import TritonServer
    from lam_engines.serving.triton.installation import Installation


@pytest.fixture(scope="module")
def client(tiny_server: "TritonServer") -> Iterator[EmbeddingClient]:
    with EmbeddingClient(f"grpc://{tiny_server.grpc_url}") as client:
        yield client


def test_embeddings_are_the_engines(client: EmbeddingClient, tiny_engine: EmbeddingEngine) -> None:
    texts = mixed(500)
    found = client.embed_counted(texts)
    assert (found.vectors.dtype, found.vectors.shape) == (np.float32, (500, 32))
    np.testing.assert_allclose(found.vectors, tiny_engine.embed(texts), **CLOSE)
    assert found.tokens.tolist() == [len(ids) for ids in tiny_engine.tokenizer.encode(texts)]
    assert not found.truncated.any()


def test_no_texts_and_wrong_ones(client: EmbeddingClient) -> None:
    assert client.embed([]).shape == (0, 32)
    with pytest.raises(InputError, match=r"pass \[text\]"):
        client.embed("one text")
    with pytest.raises(InputError, match="expected a string at position 1, found int"):
        client.embed(["a", 1])  # type: ignore[list-item]


def test_threads_share_a_client(client: EmbeddingClient, tiny_engine: EmbeddingEngine) -> None:
    texts = mixed(200)
    expected = tiny_engine.embed(texts)

    def ask(part: slice) -> None:
        np.testing.assert_allclose(client.embed(texts[part]), expected[part], **CLOSE)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, [slice(start, start + 5) for start in range(0, 200, 5)]))


def test_asyncio(tiny_server: "TritonServer", tiny_engine: EmbeddingEngine) -> None:
    texts = mixed(200)

    async def ask() -> list[np.ndarray]:
        async with AsyncEmbeddingClient(f"grpc://{tiny_server.grpc_url}") as client:
            whole = client.embed(texts)
            return await asyncio.gather(whole, *(client.embed([text]) for text in texts), client.embed([]))

    whole, *single, none = asyncio.run(ask())
    expected = tiny_engine.embed(texts)
    np.testing.assert_allclose(whole, expected, **CLOSE)
    np.testing.assert_allclose(np.concatenate(single), expected, **CLOSE)
    assert none.shape == (0, 32)


def test_a_refused_text_is_named_by_the_callers_number(client: EmbeddingClient) -> None:
    texts = ["a short one"] * 200 + ["cat " * 20_000, "another"]
    with pytest.raises(RefusedError, match=r"^lam_embed refuses the texts: expected .*20,00\d in text 200;") as caught:
        client.embed(texts)
    assert "\n" not in str(caught.value)
    assert client.embed(["a short one"]).shape == (1, 32)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("lam_nothing", "expected .*the model lam_nothing"),
        ("lam_core", "expected a model with the input text .*found lam_core"),
    ],
)
def test_another_model(tiny_server: "TritonServer", model: str, message: str) -> None:
    with (
        EmbeddingClient(f"grpc://{tiny_server.grpc_url}", model=model, retries=0) as client,
        pytest.raises(ServerError, match=message),
    ):
        client.embed(["cat"])


def test_no_server_is_said_at_once_without_retries() -> None:
    start = time.monotonic()
    with (
        EmbeddingClient(f"grpc://127.0.0.1:{free_port()}", retries=0) as client,
        pytest.raises(ServerUnavailableError) as caught,
    ):
        client.embed(["cat"])
    assert time.monotonic() - start < 2
    assert "found none that answers" in str(caught.value)
    assert "lam-export serve" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_retries_end_in_time() -> None:
    start = time.monotonic()
    with EmbeddingClient(f"grpc://127.0.0.1:{free_port()}", timeout=1, retries=1000) as client:
        with pytest.raises((ServerUnavailableError, ServerTimeoutError)):
            client.embed(["cat"])
        assert 0.05 < time.monotonic() - start < 3


def test_a_server_that_does_not_answer(tiny_server: "TritonServer") -> None:
    with EmbeddingClient(f"grpc://{tiny_server.grpc_url}", timeout=1) as client:
        client.embed(["cat"])
        with stopped(tiny_server.pid), pytest.raises(ServerTimeoutError, match=r"no answer within 1 s"):
            client.embed(["cat"])
        assert client.embed(["cat"]).shape == (1, 32)


def test_asyncio_waits_no_longer_than_it_is_told(tiny_server: "TritonServer") -> None:
    async def ask() -> None:
        async with AsyncEmbeddingClient(f"grpc://{tiny_server.grpc_url}", timeout=1) as client:
            await client.embed(["cat"])
            with stopped(tiny_server.pid):
                with pytest.raises(ServerTimeoutError):
                    await client.embed(["cat"])
                asked = asyncio.ensure_future(client.embed(["cat"]))
                await asyncio.sleep(0.2)
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
            assert (await client.embed(["cat"])).shape == (1, 32)

    asyncio.run(ask())


@pytest.fixture(scope="module")
def narrow(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose queues hold two requests, one of which goes through the model at once."""
    from lam_engines.serving.triton import ServingOptions, write_repository

    folder = tmp_path_factory.mktemp("narrow") / "models"
    return write_repository(tiny_bundle, folder, ServingOptions(max_batch=1, queue_size=2))


def test_a_full_queue(narrow: Path, triton_installation: "Installation", tiny_engine: EmbeddingEngine) -> None:
    from lam_engines.serving.triton import TritonServer

    texts = [f"the dog runs {i} " * 1200 for i in range(24)]
    with TritonServer(narrow, installation=triton_installation, http=True) as server:
        with (
            EmbeddingClient(f"grpc://{server.grpc_url}", retries=0, in_flight=24) as client,
            pytest.raises(ServerBusyError) as caught,
        ):
            client.embed(texts)
        assert "\n" not in str(caught.value)
        with (
            EmbeddingClient(f"grpc://{server.grpc_url}", retries=100, in_flight=24) as client,
            ThreadPoolExecutor(1) as pool,
        ):
            asked = pool.submit(client.embed, texts)
            while not asked.done():  # neither a reason to restart it nor to send no more
                assert (
                    failure(f"http://{server.http_url}", f"http://{server.metrics_url}/metrics", "lam_embed", 60) == ""
                )
            np.testing.assert_allclose(asked.result(), tiny_engine.embed(texts), **CLOSE)


def test_a_server_that_comes_back(
    narrow: Path, triton_installation: "Installation", tiny_engine: EmbeddingEngine
) -> None:
    from lam_engines.serving.triton import TritonServer

    port, found = free_port(), []
    with EmbeddingClient(f"grpc://127.0.0.1:{port}", retries=100) as client:
        asking = threading.Thread(target=lambda: found.append(client.embed(["the cat sleeps"])))
        asking.start()
        with TritonServer(narrow, installation=triton_installation, grpc_port=port):
            asking.join(60)
    np.testing.assert_allclose(found, [tiny_engine.embed(["the cat sleeps"])], **CLOSE)
