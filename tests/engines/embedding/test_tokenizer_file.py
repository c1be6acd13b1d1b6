"""A ``tokenizer.json`` from a stranger costs no more than BERT's, or is refused in one line."""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from bundles import refusal

from lam_engines.embedding.tokenizer import Tokenizer

File = dict[str, Any]
REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100}
SPLIT = {"type": "Split", "pattern": {"Regex": "(a|a)*b|(x+x+)+y"}, "behavior": "Isolated", "invert": False}
CLS = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> File:
    return json.loads(tiny.write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json").read_bytes())


def normalizers(*steps: File) -> Callable[[File], object]:
    return lambda file: file.update(normalizer={"type": "Sequence", "normalizers": list(steps)})


def pieces(file: File, name: str) -> None:
    file["post_processor"][name] += [CLS] * 50_000


def deep(file: File) -> None:
    for _ in range(20):
        file["normalizer"] = {"type": "Sequence", "normalizers": [file["normalizer"]]}


HOSTILE: dict[str, tuple[Callable[[File], object], str]] = {
    # As found in the field.
    "a regular expression that explodes": (lambda file: file.update(pre_tokenizer=SPLIT), "found 'Split'"),
    "nested replacements": (normalizers(*[REPLACE] * 6), "found 'Replace'"),
    "a template of 50,000 tokens": (lambda file: pieces(file, "single"), "of at most 16"),
    # Neighbours.
    "a regular expression in a sequence": (
        lambda file: file.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [SPLIT]}),
        "found 'Split'",
    ),
    "a table that panics": (normalizers({"type": "Precompiled", "precompiled_charsmap": "AAAA"}), "'Precompiled'"),
    "many harmless steps": (normalizers(*[{"type": "NFKD"}] * 1000), "of at most 16"),
    "steps in steps": (deep, "at most 16 steps in normalizer"),
    "a token of 50,000 ids": (
        lambda file: file["post_processor"]["special_tokens"]["[CLS]"].update(ids=[2] * 50_000),
        "of at most 16",
    ),
    "a template for pairs": (lambda file: pieces(file, "pair"), "of at most 16"),
    "a special token that is not there": (
        lambda f: f["post_processor"]["special_tokens"].pop("[SEP]"),
        "special_tokens has no",
    ),
    "another post-processor": (lambda file: file.update(post_processor={"type": "ByteLevel"}), "found 'ByteLevel'"),
    "words of any length": (lambda file: file["model"].update(max_input_chars_per_word=10**9), "of at most 256"),
    "a prefix of a megabyte": (lambda f: f["model"].update(continuing_subword_prefix="#" * 10**6), "of at most 16"),
    "another model": (lambda file: file["model"].update(type="Unigram"), "found 'Unigram'"),
    "a model without a type that is not BERT's": (
        lambda file: file.update(model={"vocab": {"a": 0}, "merges": []}),
        "expected a model of WordPiece, found None",
    ),
    "an added token of a megabyte": (
        lambda file: file["added_tokens"][0].update(content="x" * 10**6),
        "of at most 256 characters as added_tokens.content",
    ),
    "many added tokens": (lambda f: f["added_tokens"].extend(f["added_tokens"] * 10_000), "of at most 10000"),
    "a list for an object": (lambda f: f.update(normalizer=[]), "expected an object as normalizer, found []"),
    "nothing for an object": (lambda f: f.update(model=None), "expected an object as model, found None"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_tokenizers_are_refused_at_once(kind: str, file: File) -> None:
    changed = copy.deepcopy(file)
    change, reason = HOSTILE[kind]
    change(changed)
    before = time.process_time()
    message = refusal(lambda: Tokenizer(json.dumps(changed).encode(), 128))
    assert reason in message
    assert message.endswith("take the one that the model was trained with")
    assert time.process_time() - before < 10, "CPU seconds, of one that is refused before it is built"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b" " * (33 << 20), "expected at most 33554432 bytes, found 34603008"),
        (b"[" * 10**6, "it is no JSON: maximum recursion depth"),
        (b'{"model": NaN}', "expected an object as model, found nan"),
    ],
)
def test_files_that_are_too_much(content: bytes, reason: str) -> None:
    assert reason in refusal(lambda: Tokenizer(content, 128))


def test_a_decoder_is_not_built(file: File) -> None:
    """It takes regular expressions too. Embeddings need none, so a stranger's is dropped and not refused."""
    stranger = file | {"decoder": {"type": "Replace", "pattern": {"Regex": "(x+x+)+y"}, "content": ""}}
    assert json.loads(Tokenizer(json.dumps(stranger).encode(), 128).to_json())["decoder"] is None
    assert json.loads(Tokenizer(json.dumps(file).encode(), 128).to_json())["decoder"]["type"] == "WordPiece"


BERTS: dict[str, Callable[[File], object]] = {
    "as it is": lambda file: None,
    "cased": lambda file: file["normalizer"].update(lowercase=False),
    "without a normalizer": lambda file: file.update(normalizer=None),
    "steps": normalizers({"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}),
    "older files: no type of the model": lambda file: file["model"].pop("type"),
    "BERT's own post-processor": lambda file: file.update(
        post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    ),
    "words": lambda file: file.update(
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}],
        }
    ),
}


@pytest.mark.parametrize("kind", BERTS)
def test_berts_tokenizers_are_read_as_the_library_reads_them(kind: str, file: File, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Rust

    changed = copy.deepcopy(file)
    BERTS[kind](changed)
    content = json.dumps(changed)
    theirs = Rust.from_str(content)
    theirs.no_truncation()
    theirs.no_padding()
    texts = ["", "The cat's happy, isn't it?", "Éa ﷺ 東京 \u0301", "a" * 300, "[CLS] [SEP] ##s"]
    for text, found in zip(texts, Tokenizer(content.encode(), 128).encode(texts), strict=True):
        np.testing.assert_array_equal(found, theirs.encode(text).ids, err_msg=text)
