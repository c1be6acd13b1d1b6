"""Every ``tokenizer.json`` that the C++ tokenizer cannot follow is refused with one line, never guessed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cpp_tokenizer import added_token, bert_normalizer, run, tokenizer_json, written

pytestmark = pytest.mark.usefixtures("cpp_build")

NFD = {"type": "NFD"}
Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "expected a model of WordPiece, found 'BPE'": lambda file: file["model"].update(type="BPE"),
    "expected a model of WordPiece, found 'none'": lambda file: file["model"].pop("type"),
    "it has no model": lambda file: file.pop("model"),
    "it.model has no vocab": lambda file: file["model"].pop("vocab"),
    "it.model has no max_input_chars_per_word": lambda file: file["model"].pop("max_input_chars_per_word"),
    "model.vocab: -1 is no token id": lambda file: file["model"]["vocab"].update(a=-1),
    "model.vocab: 4294967296 is no token id": lambda file: file["model"]["vocab"].update(a=2**32),
    "model.vocab: 1.0 is no token id": lambda file: file["model"]["vocab"].update(a=1.0),
    "model.vocab has no 'x\\ny'": lambda file: file["model"].update(unk_token="x\ny"),
    "expected a version of 1.0, found '2.0'": lambda file: file.update(version="2.0"),
    "found 'NFKC'": lambda file: file.update(normalizer={"type": "NFKC"}),
    "found 'Strip'": lambda file: file.update(normalizer={"type": "Sequence", "normalizers": [{"type": "Strip"}]}),
    "it.normalizer.lowercase is neither": lambda file: file["normalizer"].update(lowercase=1),
    "expected a pre_tokenizer of BertPreTokenizer, found 'none'": lambda file: file.update(pre_tokenizer=None),
    "found 'Whitespace'": lambda file: file.update(pre_tokenizer={"type": "Whitespace"}),
    "found 'RobertaProcessing'": lambda file: file.update(post_processor={"type": "RobertaProcessing"}),
    "another sequence than A": lambda file: file.update(
        post_processor={"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B"}}]}
    ),
    "has no [X]": lambda file: file.update(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[X]"}}],
            "special_tokens": {},
        }
    ),
    "cls is no pair": lambda file: file.update(post_processor={"type": "BertProcessing", "cls": ["[CLS]"]}),
    "added token 'b' has the id 9, but its place is 2": lambda file: file.update(added_tokens=[added_token(9, "b")]),
    "added token 'a' is there twice": lambda file: file.update(added_tokens=[added_token(1, "a"), added_token(1, "a")]),
    "'B' is there twice": lambda file: file.update(
        added_tokens=[added_token(2, "b", normalized=True), added_token(3, "B", normalized=True)]
    ),
    "is empty once normalized": lambda file: file.update(added_tokens=[added_token(2, "\u0301", normalized=True)]),
    "more than white space": lambda file: file.update(added_tokens=[added_token(2, "  ", lstrip=True)]),
    "it.added_tokens.0 has no id": lambda file: file.update(added_tokens=[{"content": "a", "normalized": False}]),
    "it.added_tokens is no list": lambda file: file.update(added_tokens={}),
    "it.added_tokens has more than 10000": lambda file: file.update(added_tokens=[added_token(1, "a")] * 10_001),
    "content has more than 1024 bytes": lambda file: file.update(added_tokens=[added_token(1, "a" * 1025)]),
    "max_input_chars_per_word is more than 256": lambda file: file["model"].update(max_input_chars_per_word=10**9),
    "prefix has more than 64 bytes": lambda file: file["model"].update(continuing_subword_prefix="#" * 65),
    "normalizers has more than 16": lambda file: file.update(
        normalizer={"type": "Sequence", "normalizers": [NFD] * 17}
    ),
    "its normalizers are more than 16": lambda file: file.update(
        normalizer={
            "type": "Sequence",
            "normalizers": [{"type": "Sequence", "normalizers": [{"type": "NFD"}] * 16}] * 9,
        }
    ),
    "single has more than 16": lambda file: file.update(
        post_processor={"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}] * 17}
    ),
    "ids has more than 16": lambda file: file.update(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[X]"}}],
            "special_tokens": {"[X]": {"ids": [1] * 50_000}},
        }
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_files_that_are_refused(message: str, tmp_path: Path) -> None:
    content = tokenizer_json(["[UNK]", "a"])
    CHANGES[message](content)
    assert_refused(written(tmp_path, content), message)


DEEP = 100_000
GOOD = json.dumps(tokenizer_json(["[UNK]", "a"])).encode()
BERT = json.dumps(bert_normalizer()).encode()
SINGLE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "\n"}}],
    "special_tokens": {"\n": {"ids": 1}},
}
TEMPLATE = json.dumps(SINGLE).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"model": "\xff"}',
        b'{"\\n": 1e999}',
        b" " * (33 << 20),
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        GOOD.replace(b'"a": 1', b'"a": ' + b"[" * DEEP + b"]" * DEEP),
        GOOD.replace(BERT, b'{"type": "Sequence", "normalizers": [' * DEEP + b"]}" * DEEP),
        GOOD.replace(b'"post_processor": null', b'"post_processor": ' + TEMPLATE),
    ],
)
def test_files_that_are_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    assert_refused(path, "tokenizer.json cannot be used (")


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_files_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    assert_refused(tmp_path / name, "cannot read")


def assert_refused(file: Path, message: str) -> None:
    done = run(file, [])
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, len(lines)) == (1, 1), lines
    assert message in lines[0]
