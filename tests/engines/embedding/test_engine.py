"""Texts and token ids to embeddings, through a real bundle in ONNX Runtime."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lam_engines import EngineError, InputError, LamError, load_engine
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import installing

TEXTS = [
    "the cat sleeps",
    "",
    "a man is reading a red book in the old house by the water, and it is not a small house!",
    "music",
    "music",
    "the dog runs " * 60,
    "no",
]
CLOSE = {"rtol": 0, "atol": 1e-5}


def alone(engine: EmbeddingEngine, texts: list[str]) -> np.ndarray:
    """Each text in a batch of its own."""
    return np.concatenate([engine.embed([text]) for text in texts])


def message_of(error: type[LamError], action: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable(), message
    return message


def unit(vectors: np.ndarray) -> bool:
    return bool(np.isfinite(vectors).all() and np.allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=1e-5))


def test_no_texts(tiny_engine: EmbeddingEngine) -> None:
    assert tiny_engine.embed([]).shape == (0, 32)
    assert tiny_engine.encode([]).shape == (0, 32)
    assert list(tiny_engine.embed_many([])) == []


@pytest.mark.parametrize("collection", [tuple, np.array, iter, lambda texts: (text for text in texts)])
def test_texts_in_any_collection(tiny_engine: EmbeddingEngine, collection: Callable[[list[str]], Any]) -> None:
    np.testing.assert_allclose(tiny_engine.embed(collection(TEXTS)), tiny_engine.embed(TEXTS), **CLOSE)


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        ("one text", r"found one string; pass \[text\]"),
        (["a", 5], "expected a string at position 1, found int"),
        ([None], "expected a string at position 0, found NoneType"),
        ([b"bytes"], "expected a string at position 0, found bytes"),
        (b"bytes", "expected a string at position 0, found int"),
        ([["a"]], "expected a string at position 0, found list"),
        (None, "expected a list of texts, found NoneType"),
        (3, "expected a list of texts, found int"),
    ],
)
def test_what_is_no_list_of_texts(tiny_engine: EmbeddingEngine, texts: Any, part: str) -> None:
    with pytest.raises(InputError, match=part):
        tiny_engine.embed(texts)
    with pytest.raises(InputError, match=part):
        list(tiny_engine.embed_many(texts))
    if not isinstance(texts, str):
        with pytest.raises(InputError, match=part):
            tiny_engine.encode(texts)


AWKWARD = {
    "nothing": "",
    "spaces": " \t\n\r\u3000 ",
    "a word of a megabyte": "a" * 2**20,
    "a megabyte of emoji": "😀" * 2**18,
    "surrogates": "a\ud800b \udfff c",
    "a pair in two halves": "\ud83d\ude00",
    "nul": "a\0b\0",
    "right to left": "\u202eשלום עליכם مرحبا بالعالم",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "combining": "e" + "\u0301" * 5000,
    "controls": "".join(map(chr, range(32))) + "\x7f\x85\ufeff\ufffe\uffff",
    "special tokens": "[CLS] [SEP] [PAD] [MASK] [UNK] ##a",
    "the last character": "\U0010ffff",
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_texts(tiny_engine: EmbeddingEngine, name: str) -> None:
    text = AWKWARD[name]
    vectors = tiny_engine.embed([text, "the cat sleeps", text + " x"])
    assert unit(vectors)
    np.testing.assert_allclose(vectors, alone(tiny_engine, [text, "the cat sleeps", text + " x"]), **CLOSE)


def test_lone_surrogates_are_replacement_characters(tiny_engine: EmbeddingEngine) -> None:
    encode = tiny_engine.tokenizer.encode
    broken = ["a\ud800b", "\udc00", "\ud83d\ude00", "\ufeffa\udc00", "the cat"]
    whole = ["a\ufffdb", "\ufffd", "😀", "\ufeffa\ufffd", "the cat"]
    for found, expected in zip(encode(broken), encode(whole), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_nothing_is_cut_off(tiny_engine: EmbeddingEngine) -> None:
    text = "the cat sleeps and the dog runs " * 2858  # the tokenizer.json of the checkpoint cuts at 128 tokens
    (ids,) = tiny_engine.tokenizer.encode([text])
    assert len(ids) == 20_008
    vector, changed = tiny_engine.embed([text, text[:-5] + "eats"])
    assert unit(np.stack([vector, changed]))
    assert np.abs(vector - changed).max() > 1e-6


def test_embed_many_takes_texts_as_they_are_needed(tiny_engine: EmbeddingEngine) -> None:
    taken: list[str] = []

    def source() -> Iterator[str]:
        for i in range(9000):
            taken.append(f"the {i} cat")
            yield taken[-1]

    given: list[str] = []
    done: list[int] = []
    for window, vectors in tiny_engine.embed_many(source(), progress=done.append):
        given += window
        assert taken == given
        assert vectors.shape == (len(window), 32)
        assert sum(done) == len(given)
        np.testing.assert_allclose(vectors[[0, -1]], alone(tiny_engine, [window[0], window[-1]]), **CLOSE)
    assert len(given) == 9000


@pytest.mark.parametrize("batch_tokens", [1, 50, 10**6])
def test_progress_counts_every_text_once(tiny_engine: EmbeddingEngine, batch_tokens: int) -> None:
    done: list[int] = []
    tiny_engine.embed(TEXTS, batch_tokens=batch_tokens, progress=done.append)
    assert sum(done) == len(TEXTS)
    assert min(done) > 0


def test_encode_is_what_sentence_transformers_users_know(
    tiny_engine: EmbeddingEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = tiny_engine.embed(TEXTS)
    one = tiny_engine.encode(TEXTS[0])
    assert (one.shape, one.dtype) == ((32,), np.float32)
    np.testing.assert_allclose(one, expected[0], **CLOSE)
    for batch_size in (1, 3, 1000):
        found = tiny_engine.encode(TEXTS, batch_size=batch_size, normalize_embeddings=False)
        np.testing.assert_allclose(found, expected, **CLOSE)
    assert capsys.readouterr() == ("", "")
    np.testing.assert_allclose(tiny_engine.encode(TEXTS, show_progress_bar=True), expected, **CLOSE)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "100%" in printed.err
    refused = message_of(InputError, lambda: tiny_engine.encode(TEXTS, batch_size=0))
    assert "batch_size of at least 1, found 0" in refused
    refused = message_of(InputError, lambda: tiny_engine.embed(TEXTS, batch_tokens=0))
    assert "batch_tokens of at least 1, found 0" in refused


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"threads": 0}, "expected 1 to 1024 threads, found 0"),
        ({"threads": -3}, "expected 1 to 1024 threads, found -3"),
        ({"device": "tpu"}, "expected an engine that runs fp32 on the device tpu, found none"),
        (
            {"engine": "tensorflow"},
            "expected engine auto, onnxruntime, openvino, tensorrt or tensorrt-rtx, found 'tensorflow'",
        ),
    ],
)
def test_engines_that_there_are_not(tiny_bundle: Path, options: dict[str, Any], part: str) -> None:
    assert part in message_of(EngineError, lambda: load_engine(tiny_bundle, **options))


def test_a_gpu_that_there_is_not(tiny_bundle: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime is built for GPUs")
    message = message_of(EngineError, lambda: load_engine(tiny_bundle, device="cuda"))
    assert "has no CUDAExecutionProvider; run: pip uninstall onnxruntime && " + installing("gpu") in message
