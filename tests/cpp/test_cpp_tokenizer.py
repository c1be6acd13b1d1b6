"""The C++ tokenizer against the ``tokenizers`` library: the same ids for everything.

More random texts, from another seed: ``LAM_RANDOM_TEXTS=50000 LAM_RANDOM_SEED=7 pytest tests/engines/cpp``.
"""

import os
import random
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from cpp_tokenizer import added_token, assert_same, bert_normalizer, ids_in_cpp, tokenizer_json, written

pytestmark = [
    pytest.mark.usefixtures("cpp_build"),
    pytest.mark.skipif(
        tuple(map(int, tokenizers.__version__.split(".")[:3])) < (0, 22, 2),
        reason="older tokenizers lower fewer letters (of Unicode 16 and 17)",
    ),
]

NORMALIZERS: dict[str, Any] = {
    "uncased": bert_normalizer(),
    "cased": bert_normalizer(lowercase=False),
    "accents kept": bert_normalizer(strip_accents=False),
    "lower case only": bert_normalizer(clean_text=False, chinese=False, strip_accents=False),
    "accents only": bert_normalizer(clean_text=False, chinese=False, strip_accents=True, lowercase=False),
    "sequence": {"type": "Sequence", "normalizers": [{"type": name} for name in ("NFD", "StripAccents", "Lowercase")]},
    "none": None,
}
EVERY_CHARACTER = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
LIKELY_CHARACTERS = [c for c in EVERY_CHARACTER if c < 0x32000 or 0xE0000 <= c < 0xE0200]
"""Without the planes in which nothing is assigned, or all is for private use."""
MARKS = "\u0300\u0301\u0327\u0334\u0345\u035c\u05b0\u064b\u0670\u093c\u094d\u0e38\u0f71\u0f72\u302a\u3099\U0001d165"
CHANGED = "\u166d\u1734\u1885\u1886\u1cf2\u1cf3\ua9bd\U000111c9\U0001171e\u08e3\u1dfb\U00011938\U0001e944\U0001e8d0"
"""Characters whose properties Unicode changed, or has known for a short time only."""
WORDS = [
    "the",
    "Running",
    "x" * 99,
    "x" * 100,
    "x" * 101,
    "é" * 100,
    "Straße",
    "ΑΣ",
    "ﬁn",
    "각",
    "\u1112\u1161",
    "İı",
    "京都",
]
OTHERS = " \t\n\v\x85\xa0\u2028\u3000\u200b\u200d\ufe0f\ufeff\0\ufffd"
EMOJI = ["👩\u200d👩\u200d👧", "👍🏽", "🇫🇷", "1\ufe0f\u20e3", *"𝔘東京。¡$_\ua7dc\U00010d50\U00016ea0"]
BROKEN = [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80"]
"""No UTF-8: stray, cut, a surrogate, overlong, too high."""
ADDED = [
    added_token(100, "<l>", lstrip=True),
    added_token(101, "<r>", rstrip=True),
    added_token(102, "<w>", single_word=True),
    added_token(103, "wörd", single_word=True, lstrip=True, rstrip=True),
    added_token(104, "Né", normalized=True),
    added_token(105, "Straße x", normalized=True, lstrip=True, rstrip=True),
    added_token(106, "京都", normalized=True),
    added_token(107, "<w"),
    added_token(108, "<wx>y"),
    added_token(109, " sp"),
    added_token(110, "  "),
    added_token(111, ". .", normalized=True, single_word=True),
    added_token(112, "\u0301z"),
]
LETTERS = "abcdefghijklmnopqrstuvwxyzéüßσςжё東京𝔘각ᄀ\u1161.,!?<>"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{c}" for c in LETTERS), "the", "##ing", "run", "##nn"]
TOKENS = [*PIECES, *(f"[unused{i}]" for i in range(100 - len(PIECES)))]
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ],
    "pair": [],
    "special_tokens": {t: {"id": t, "ids": [id], "tokens": [t]} for t, id in (("[CLS]", 2), ("[SEP]", 3))},
}


@pytest.mark.parametrize("kind", ["uncased", "lower case only", "sequence"])
def test_every_character(kind: str, tmp_path: Path) -> None:
    # Alone, a character shows what becomes of it; between letters, whether it is dropped (a known word of four
    # letters), part of the word (too long to be known) or stands apart; beside marks, where they go.
    likely = set(LIKELY_CHARACTERS)
    characters = EVERY_CHARACTER if kind == "uncased" else LIKELY_CHARACTERS
    changes = {"continuing_subword_prefix": "", "max_input_chars_per_word": 4, "normalizer": NORMALIZERS[kind]}
    file = written(tmp_path, tokenizer_json(["[UNK]", *map(chr, LIKELY_CHARACTERS)], **changes))

    def text(c: int) -> str:
        return f"{chr(c)} aa{chr(c)}bb" + (f" b\u0345{chr(c)}\u0334" if c in likely else "")

    texts = [" ".join(map(text, characters[i : i + 256])) for i in range(0, len(characters), 256)]
    assert_same(file, [text.encode() for text in texts])


@pytest.mark.parametrize("flags", [{"single_word": True}, {"lstrip": True, "rstrip": True}])
def test_every_character_beside_an_added_token(flags: dict[str, bool], tmp_path: Path) -> None:
    added = [added_token(2, "Q", **flags)]
    file = written(tmp_path, tokenizer_json(["[UNK]", "q"], added_tokens=added, normalizer=None))
    texts = [
        "|".join(f"{chr(c)}Q Q{chr(c)} {chr(c)}Q{chr(c)}" for c in LIKELY_CHARACTERS[i : i + 256])
        for i in range(0, len(LIKELY_CHARACTERS), 256)
    ]
    assert_same(file, [text.encode() for text in texts])


def random_text(rng: random.Random) -> bytes:
    planes = [(0x20, 0x7F), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x110000)]
    added = [str(token["content"]) for token in ADDED]
    kinds = [
        lambda: chr(rng.randrange(*rng.choice(planes))),
        lambda: "".join(rng.choices(MARKS + CHANGED, k=rng.randrange(1, 6))),
        lambda: rng.choice(WORDS),
        lambda: rng.choice([*added, "strasse x", "NE\u0301", "[CLS]", "ж", "a", "runn"]),
        lambda: rng.choice(OTHERS),
        lambda: rng.choice(EMOJI),
    ]
    text = bytearray("".join(rng.choice(kinds)() for _ in range(rng.randrange(40))).encode())
    if rng.random() < 0.2:
        for _ in range(3):
            place = rng.randrange(len(text) + 1)
            text[place : place + rng.randrange(2)] = rng.choice([*BROKEN, b""])
    return bytes(text)


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_random_texts(kind: str, tmp_path: Path) -> None:
    rng = random.Random(os.environ.get("LAM_RANDOM_SEED", "1"))
    texts = [random_text(rng) for _ in range(int(os.environ.get("LAM_RANDOM_TEXTS", "3000")))]
    changes = {"normalizer": NORMALIZERS[kind], "post_processor": TEMPLATE}
    assert_same(written(tmp_path, tokenizer_json(TOKENS, **changes, added_tokens=ADDED)), texts)
    assert_same(written(tmp_path, tokenizer_json(TOKENS, **changes)), texts)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({}, "a  <t>  b a<t>b <t><t> <T> <t"),
        ({"lstrip": True}, "a \t<t>  b\u3000<t>b  <t>  <t>"),
        ({"rstrip": True}, "a  <t> \n b <t>\u200bb  <t>  <t>"),
        ({"lstrip": True, "rstrip": True}, "  <t>  <t>a<t>  "),
        ({"single_word": True}, "<t> a<t> <t>a _<t> 1<t> é<t> e\u0301<t> .<t>. <t><t> 東<t>"),
        ({"single_word": True, "rstrip": True}, "a<t>  <t>  b"),
        ({"normalized": True}, "<T> <t\u0301> <\0t> A<T>B < t>"),
        ({"normalized": True, "single_word": True}, "<T> a<T> <T>é"),
        ({"normalized": True, "lstrip": True, "rstrip": True}, "a \u00a0<T>\t\t b"),
        ({"special": True}, "a <t> <T>"),
    ],
)
def test_flags_of_added_tokens(flags: dict[str, bool], text: str, tmp_path: Path) -> None:
    added = [added_token(100, "<t>", **flags)]
    assert_same(written(tmp_path, tokenizer_json(TOKENS, added_tokens=added)), [text.encode()])


@pytest.mark.parametrize(
    "processor",
    [
        None,
        TEMPLATE,
        {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        TEMPLATE | {"single": TEMPLATE["single"][1:] * 2},  # type: ignore[index]
        TEMPLATE | {"special_tokens": {t: {"id": t, "ids": [7, 8], "tokens": ["a", "b"]} for t in ("[CLS]", "[SEP]")}},
    ],
)
def test_post_processors(processor: Any, tmp_path: Path) -> None:
    assert_same(written(tmp_path, tokenizer_json(TOKENS, post_processor=processor)), [b"", b"the run", b" \0"])


def test_models(tmp_path: Path) -> None:
    texts = [b"the running thex xthe nnn", "é東ж".encode(), b"a" * 5, b"a" * 6, "é".encode() * 6]
    for changes in (
        {"continuing_subword_prefix": ""},
        {"continuing_subword_prefix": "@@"},
        {"max_input_chars_per_word": 5},
        {"max_input_chars_per_word": 0},
        {"unk_token": "[SEP]"},
        {"vocab": {"[UNK]": 7, "a": 7, "##": 3, "": 2, "é": 2**32 - 1}},
        {"truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}},
    ):
        assert_same(written(tmp_path, tokenizer_json(TOKENS, **changes)), texts)


def test_invalid_utf_8_is_read_as_python_reads_it(tmp_path: Path) -> None:
    changes = {"normalizer": None, "max_input_chars_per_word": 1}
    file = written(tmp_path, tokenizer_json(["[UNK]", "\ufffd", "a"], **changes))
    texts = [*BROKEN, *(b"a " + text + b" a" for text in BROKEN), *(b" ".join(BROKEN[:i]) for i in range(len(BROKEN)))]
    assert_same(file, texts)
    assert ids_in_cpp(file, [b"\xe2\x82 a"]) == [[1, 2]]


def test_long_texts(tmp_path: Path) -> None:
    file = written(tmp_path, tokenizer_json(TOKENS, post_processor=TEMPLATE, added_tokens=ADDED))
    parts = [b"a", b"the running fox. ", "\u0301\u0327\u0334é".encode(), "東京".encode(), b"<w", b" ", b"\xff"]
    assert_same(file, [b"", *(part * (1_000_000 // len(part)) for part in parts)])
