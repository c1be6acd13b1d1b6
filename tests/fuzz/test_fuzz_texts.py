"""Texts that nobody planned for: every one gets an embedding, and the one it gets alone."""

import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lam_engines import load_engine
from lam_engines.embedding.engine import EmbeddingEngine

WORDS = ["the", "cat", "is", "not", "red", "Straße", "naïve", "日本語", "слово", "עברית", "[SEP]", "##ing", "don't"]
MARKS = "ab \u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2069שע"
PARTS = ["👩", "👍", "🏽", "🇫", "🇷", "1", "e", "ﷺ", "\u1112\u1161", "\u200d", "\ufe0f", "\u0301", "\u0323", "\u20e3"]
"""Of emoji, flags and syllables: joiners, colours, halves, heaps of accents."""


def characters(first: int, last: int) -> Callable[[random.Random], str]:
    return lambda rng: "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 40)))


KINDS: dict[str, Callable[[random.Random], str]] = {
    "empty": lambda rng: "",
    "spaces": lambda rng: "".join(rng.choices(" \t\n\r\v\f\xa0\u2003\u2028\u3000\u200b", k=rng.randint(1, 30))),
    "words": lambda rng: " ".join(rng.choices(WORDS, k=rng.randint(1, 60))),
    "one word": lambda rng: rng.choice(WORDS) * rng.randint(1, 80),
    "control characters": characters(0, 0x9F),
    "latin": characters(0x20, 0x24F),
    "right to left": characters(0x590, 0x8FF),
    "bidirectional marks": lambda rng: "".join(rng.choices(MARKS, k=30)),
    "east asia": characters(0x2E80, 0x9FFF),
    "first plane, surrogates too": characters(0, 0xFFFF),
    "all planes": characters(0, 0x10FFFF),
    "surrogates": characters(0xD800, 0xDFFF),
    "graphemes": lambda rng: "".join(rng.choices(PARTS, k=rng.randint(1, 40))),
    "punctuation": lambda rng: "".join(rng.choices("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", k=rng.randint(1, 60))),
    "long": lambda rng: " ".join(rng.choices(WORDS, k=rng.choice([120, 126, 127, 128, 129, 250, 600]))),
}


def texts(count: int, seed: int) -> list[str]:
    """As many texts, of every kind; long ones are one in a hundred."""
    rng = random.Random(seed)
    kinds = list(KINDS.values())
    weights = [1 if kind == "long" else 7 for kind in KINDS]
    return [kind(rng) for kind in rng.choices(kinds, weights, k=count)]


def check(engine: EmbeddingEngine, found: np.ndarray, of: list[str], sample: int) -> None:
    assert (found.shape, found.dtype) == ((len(of), engine.model.hidden_size), np.float32)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=0, atol=1e-5)
    for i in random.Random(1).sample(range(len(of)), sample):
        np.testing.assert_allclose(engine.embed([of[i]])[0], found[i], rtol=0, atol=1e-5, err_msg=repr(of[i][:80]))


def test_the_texts_are_what_they_are_said_to_be() -> None:
    found = texts(10_000, seed=0)
    used = set("".join(found))
    categories = {unicodedata.category(character) for character in used}
    assert categories >= {"Cc", "Cf", "Cn", "Co", "Cs", "Lo", "Lu", "Mn", "Nd", "Sc", "So", "Zl", "Zs"}
    assert {ord(character) >> 16 for character in used} == set(range(17))
    assert found.count("") > 100


@pytest.mark.heavy
def test_texts_on_the_tiny_model(tiny_engine: EmbeddingEngine) -> None:
    of = texts(10_000, seed=0)
    of[5000] = "supercalifragilistic" * 2**16  # 1.3 MB without a space
    check(tiny_engine, tiny_engine.embed(of), of, sample=200)


@pytest.mark.demo
def test_texts_on_the_demo(demo_bundle: Path) -> None:
    of = texts(1000, seed=1)
    with load_engine(demo_bundle) as engine:
        check(engine, engine.embed(of), of, sample=50)
