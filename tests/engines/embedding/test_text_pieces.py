"""A text tokenised piece by piece has the tokens of the whole text."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import tiny
from tokenizers import AddedToken, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Rust

from lam_engines.embedding import tokenizer as module
from lam_engines.embedding.tokenizer import Tokenizer

ADDED = ("foo", "[MASK]", "a", "東", "é", "-", "ab c", "\u0301x", "ÀB", "##s", "[SEP]", "\u00a0q", "x\u2003y")
ATOMS = (
    *" \t\n\r\x0b\x0c\x85\x1c\u3000\u00a0\u2003\u200b\ufeff\ufffd\0",
    *("foo", "foox", "[MASK]", "[SEP]", "a", "ab", "ab c", "東", "京", "é", "e\u0301", "\u0301", "\u0327\u0301", "ς"),
    *("ΑΣ", "İ", "ß", "ﬁ", "-", "!", "##s", "ÀB", "\ud800", "\udc00", "\U0001f600", "\u1100", "\u1161", "한", "cat"),
    *("unbelievable", "x" * 120, "\u00a0q", "x\u2003y", "\u0345"),
)


@pytest.fixture(scope="module")
def rust(tmp_path_factory: pytest.TempPathFactory) -> Rust:
    return Rust.from_file(str(tiny.write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")))


def ours(rust: Rust) -> Tokenizer:
    return Tokenizer(rust.to_str().encode(), 10_000)


def altered(rust: Rust, rng: random.Random) -> Tokenizer:
    """The same tokenizer with other settings and added tokens."""
    rust = Rust.from_str(rust.to_str())
    rust.normalizer = rng.choice(
        [
            rust.normalizer,
            None,
            normalizers.BertNormalizer(lowercase=False),
            normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True),
        ]
    )
    rust.post_processor = rng.choice([rust.post_processor, None, processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))])
    for content in rng.sample(ADDED, rng.randrange(5)):
        flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
        rust.add_tokens([AddedToken(content, **{flag: rng.random() < 0.5 for flag in flags})])
    return ours(rust)


def some_text(rng: random.Random) -> str:
    gaps = rng.random() / 2

    def atom() -> str:
        kind = rng.random()
        if kind < gaps:
            return rng.choice(" \t\n\r")
        return rng.choice(ATOMS) if kind < 0.9 else chr(rng.randrange(rng.choice([0x80, 0x3000, 0x110000])))

    return "".join(atom() for _ in range(rng.choice([0, 1, 3, 10, 40, 200])))


def in_pieces(text: str, rng: random.Random) -> list[str]:
    pieces, start = [""], 0
    while start < len(text):
        end = start + rng.choice([0, 1, 2, 5, 30])
        pieces.append(text[start:end])
        start = end
    return pieces


def test_any_text_in_any_pieces(rust: Rust, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(6)
    cut = 0
    for i in range(3000):
        if i % 30 == 0:
            tokenizer = altered(rust, rng)
        monkeypatch.setattr(module, "_BLOCK", rng.choice([1, 2, 3, 7, 20, 1000]))
        pieces = in_pieces(some_text(rng), rng)
        found = list(tokenizer.encode_pieces(pieces))
        np.testing.assert_array_equal(np.concatenate(found), tokenizer.encode(["".join(pieces)])[0], ascii(pieces))
        cut += len(found) > 3
    assert cut > 300


@pytest.mark.parametrize("pieces", [[], [""], ["", ""]])
def test_no_text_is_the_empty_text(rust: Rust, pieces: list[str]) -> None:
    assert np.concatenate(list(ours(rust).encode_pieces(pieces))).tolist() == [2, 3]


def read_until_first(tokenizer: Tokenizer, piece: str, count: int) -> int:
    """How many of so many pieces are read before the first token ids come that are not put before every text."""
    read = 0

    def pieces() -> Iterator[str]:
        nonlocal read
        for _ in range(count):
            read += 1
            yield piece

    ids = tokenizer.encode_pieces(pieces())
    next(found for found in ids if found.tolist() != [2])
    return read


def test_a_text_is_read_as_it_is_needed(rust: Rust) -> None:
    tokenizer = ours(rust)
    assert read_until_first(tokenizer, "the cat runs\n" * 100, 1000) == 51  # of 1,300 characters each
    assert read_until_first(tokenizer, "thecatruns" * 100, 1000) == 1000, "there is no gap to cut in"


def test_tokenizers_that_are_not_berts_get_the_whole_text(rust: Rust) -> None:
    spaces = Rust.from_str(rust.to_str())
    spaces.pre_tokenizer = pre_tokenizers.Whitespace()
    strip = Rust.from_str(rust.to_str())
    strip.normalizer = normalizers.Sequence([normalizers.Strip(), rust.normalizer])
    gap = Rust.from_str(rust.to_str())
    gap.add_tokens(["cat runs"])
    for other in (spaces, strip, gap):
        tokenizer = ours(other)
        assert len(list(tokenizer.encode_pieces(["the cat ", "runs"] * 10_000))) == 1
        assert read_until_first(tokenizer, "the cat runs " * 100, 100) == 100
        expected = tokenizer.encode(["the cat runs  "])[0]
        np.testing.assert_array_equal(next(tokenizer.encode_pieces(["the c", "at", " runs  "])), expected)
