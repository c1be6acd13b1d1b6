"""Bundles whose parts do not belong together, in hashes that do: refused when they are loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import forge, refusal, replace

from lam_engines import EngineError, load_engine
from lam_engines.contract import MODEL, TOKENIZER
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.embedding.tokenizer import Tokenizer


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_a_graph_of_another_width(bundle: Path) -> None:
    forge(bundle, lambda m: m["model"].update(hidden_size=64))
    message = refusal(lambda: load_engine(bundle))
    assert "output sentence_embedding [batch, 64], found inputs" in message
    assert "'sentence_embedding': ['batch', 32]" in message


def test_a_graph_with_other_names(bundle: Path) -> None:
    content = (bundle / MODEL).read_bytes()
    for ours, other in ((b"attention_mask", b"attention_bias"), (b"sentence_embedding", b"sentence_embodying")):
        assert ours in content
        replace(bundle, MODEL, content.replace(ours, other))
        assert f"expected {MODEL} with inputs input_ids, attention_mask" in refusal(lambda: load_engine(bundle))


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: b"\0" * 100, lambda c: c[: len(c) // 2], lambda c: c[9:]])
def test_what_is_no_graph(bundle: Path, damage: Callable[[bytes], bytes], capfd: pytest.CaptureFixture[str]) -> None:
    replace(bundle, MODEL, damage((bundle / MODEL).read_bytes()))
    message = refusal(lambda: load_engine(bundle))
    assert "cannot load model.onnx" in message or "model.onnx is no ONNX file, and is not read" in message
    assert capfd.readouterr() == ("", "")


def test_what_a_graph_names_is_printed_on_one_line(bundle: Path) -> None:
    content = (bundle / MODEL).read_bytes()
    assert b"attention_mask" in content
    replace(bundle, MODEL, content.replace(b"attention_mask", b"attention\x1b[2Jk", 1))
    assert "\x1b" not in refusal(lambda: load_engine(bundle))


def test_a_bundle_without_a_graph(bundle: Path) -> None:
    forge(bundle, lambda m: (m["files"].pop(MODEL), m["graphs"].pop(MODEL)))
    assert "expected model.onnx in the bundle" in refusal(lambda: load_engine(bundle, "onnxruntime"))


def test_a_vocabulary_smaller_than_the_tokenizers(bundle: Path) -> None:
    forge(bundle, lambda m: m["model"].update(vocab_size=100))
    assert "tokenizer.json gives ids up to 127, but the model has 100 word embeddings" in refusal(
        lambda: load_engine(bundle)
    )


def test_an_id_that_the_graph_does_not_have(
    bundle: Path, tiny_engine: EmbeddingEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    forge(bundle, lambda m: m["model"].update(vocab_size=1000))
    with load_engine(bundle) as engine:
        np.testing.assert_array_equal(engine.embed(["the cat"]), tiny_engine.embed(["the cat"]))
        with pytest.raises(EngineError, match="failed on a batch of 1 x 3 tokens") as caught:
            engine.embed_ids(np.array([[2, 999, 3]]))
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


TOKENIZERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "without an entry for the unknown": lambda t: t["model"]["vocab"].pop("[UNK]"),
    "special tokens that there are not": lambda t: t["post_processor"].update(special_tokens={}),
    "special tokens that the model does not have": lambda t: t["post_processor"]["special_tokens"]["[SEP]"].update(
        ids=[500]
    ),
    "an id that the model does not have": lambda t: t["model"]["vocab"].update(zebra=128),
    "of no kind that is known": lambda t: t["model"].update(type="Oracle"),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_tokenizers_that_do_not_fit(bundle: Path, kind: str) -> None:
    tokenizer = json.loads((bundle / TOKENIZER).read_bytes())
    TOKENIZERS[kind](tokenizer)
    replace(bundle, TOKENIZER, json.dumps(tokenizer).encode())
    message = refusal(lambda: load_engine(bundle))
    assert message.startswith("tokenizer.json ")
    assert "take the one that the model was trained with" in message


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"a graph", b'"\n"'])
def test_what_is_no_tokenizer(content: bytes) -> None:
    assert "tokenizer.json cannot be used by tokenizers" in refusal(lambda: Tokenizer(content, 128))


def test_a_tokenizer_comes_back_as_it_is_used(tiny_checkpoint_folder: Path) -> None:
    first = Tokenizer((tiny_checkpoint_folder / TOKENIZER).read_bytes(), 128)
    again = Tokenizer(first.to_json().encode(), 128)
    texts = ["", "the cat " * 100, "zebra!"]
    assert [len(ids) for ids in first.encode(texts)] == [2, 202, 8]
    for found, expected in zip(again.encode(texts), first.encode(texts), strict=True):
        np.testing.assert_array_equal(found, expected)
