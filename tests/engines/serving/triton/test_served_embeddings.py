"""What the real server answers: the engine's own embeddings, whoever asks, however many at once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asking import Ask, AskedError, embeddings, over_grpc, over_http
from served import CLOSE, mixed

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.triton import ServingOptions, TritonServer, write_repository
from lam_engines.serving.triton.installation import Installation

TEXTS = [text for text in mixed(501) if text != "\ud800"]  # which UTF-8 cannot tell
SENT = [text.encode() for text in TEXTS]
PROTOCOLS = {"grpc": over_grpc, "http": over_http}


def ask_of(server: TritonServer, protocol: str) -> Ask:
    return PROTOCOLS[protocol](getattr(server, f"{protocol}_url"))


@pytest.fixture(scope="module")
def expected(tiny_engine: EmbeddingEngine) -> np.ndarray:
    return tiny_engine.embed(TEXTS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("concurrency", [1, 8, 32])
def test_the_engines_embeddings(
    tiny_server: TritonServer, expected: np.ndarray, protocol: str, concurrency: int
) -> None:
    ask = ask_of(tiny_server, protocol)
    np.testing.assert_allclose(embeddings(ask, SENT, concurrency), expected, **CLOSE)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_of_many_texts(
    tiny_server: TritonServer, tiny_engine: EmbeddingEngine, expected: np.ndarray, protocol: str
) -> None:
    found = ask_of(tiny_server, protocol)(SENT[:64])
    np.testing.assert_allclose(found["sentence_embedding"], expected[:64], **CLOSE)
    lengths = [len(ids) for ids in tiny_engine.tokenizer.encode(TEXTS[:64])]
    assert found["token_count"].ravel().tolist() == lengths
    assert not found["truncated"].any()
    assert found["token_count"].shape == found["truncated"].shape == (64, 1)


def test_the_empty_text(tiny_server: TritonServer, tiny_engine: EmbeddingEngine) -> None:
    found = over_grpc(tiny_server.grpc_url)([b""])
    np.testing.assert_allclose(found["sentence_embedding"], tiny_engine.embed([""]), **CLOSE)
    assert found["token_count"].item() == 2


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([b"fine", b"caf\xe9"], "expected UTF-8, found the byte 0xe9 at position 3 of text 1; send it as UTF-8"),
        ([b"a" * 10_000_000], "expected texts of at most 524,288 bytes, found 10,000,000 in text 0; cut it"),
        (
            [b"a " * 9000],
            "expected texts of at most 8,192 tokens, found 9,002 in text 0; cut it, or serve with another ",
        ),
        ([b"a"] * 65, "batch-size must be <= 64"),
    ],
)
def test_what_is_refused(tiny_server: TritonServer, texts: list[bytes], message: str) -> None:
    ask = over_grpc(tiny_server.grpc_url)
    with pytest.raises(AskedError) as caught:
        ask(texts)
    assert message in caught.value.message
    assert caught.value.status == "INVALID_ARGUMENT"
    assert ask([b"the next one is served"])["token_count"].item() > 2


def test_a_refusal_over_http(tiny_server: TritonServer) -> None:
    with pytest.raises(AskedError, match=r"400: .* expected texts of at most 8,192 tokens"):
        over_http(tiny_server.http_url)([b"a " * 9000])


def test_a_refused_text_does_not_harm_its_neighbours(tiny_server: TritonServer, expected: np.ndarray) -> None:
    ask = over_grpc(tiny_server.grpc_url)

    def attempt(texts: list[bytes]) -> dict[str, np.ndarray]:
        if texts != [b"\xff"]:
            return ask(texts)
        with pytest.raises(AskedError, match="INVALID_ARGUMENT"):
            ask(texts)
        return {"sentence_embedding": np.zeros((1, expected.shape[1]), np.float32)}

    texts = [b"\xff" if i % 5 == 0 else text for i, text in enumerate(SENT[:100])]
    found = embeddings(attempt, texts, 16)
    served = np.arange(100) % 5 != 0
    np.testing.assert_allclose(found[served], expected[:100][served], **CLOSE)


@pytest.fixture(scope="module")
def cutting_server(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path, triton_installation: Installation
) -> Iterator[TritonServer]:
    """In OpenVINO; cuts texts at 16 tokens, remembers answers, and waits a little for others in the queue."""
    options = ServingOptions(
        engine="openvino",
        max_tokens=16,
        truncation="truncate",
        cache=True,
        queue_delay=0.002,
        instances=2,
        threads=1,
    )
    repository = write_repository(tiny_bundle, tmp_path_factory.mktemp("cutting") / "models", options)
    with TritonServer(repository, installation=triton_installation) as server:
        yield server


def test_truncation_says_so(cutting_server: TritonServer, tiny_engine: EmbeddingEngine) -> None:
    long = "the cat runs " * 20
    found = over_grpc(cutting_server.grpc_url)([b"a cat", long.encode()])
    assert found["truncated"].ravel().tolist() == [False, True]
    assert found["token_count"].ravel().tolist() == [4, 16]
    (ids,) = tiny_engine.tokenizer.encode([long])
    kept = np.append(ids[:15], ids[-1])  # the text's end is cut, its closing token is not
    np.testing.assert_allclose(found["sentence_embedding"][1], tiny_engine.embed_ids(kept[None])[0], **CLOSE)


def test_a_text_of_too_many_bytes_is_cut_at_a_character(
    cutting_server: TritonServer, tiny_engine: EmbeddingEngine
) -> None:
    ask = over_grpc(cutting_server.grpc_url)
    found = ask([b"a cat", ("x" + "🧿" * 300).encode(), b" " * 2000 + b"cat"])  # at most 16 * 64 bytes
    assert found["truncated"].ravel().tolist() == [False, True, True]
    seen = ["a cat", "x" + "🧿" * 255, ""]
    np.testing.assert_allclose(found["sentence_embedding"], tiny_engine.embed(seen), **CLOSE)
    with pytest.raises(AskedError, match="expected UTF-8, found the byte 0xff at position 0 of text 0"):
        ask([b"\xff" * 2000])


def test_the_response_cache(cutting_server: TritonServer) -> None:
    from tritonclient.grpc import InferenceServerClient

    ask = over_grpc(cutting_server.grpc_url)
    first, second = (ask([b"seen before"])["sentence_embedding"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    statistics = InferenceServerClient(cutting_server.grpc_url).get_inference_statistics("lam_embed")
    assert statistics.model_stats[0].inference_stats.cache_hit.count >= 1
