"""The C++ tokenizer run beside the ``tokenizers`` library, and ``tokenizer.json`` files to try both with."""

import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cpp_engine import BUILD
from tokenizers import Tokenizer

BINARY = BUILD / "tests/lam-tokenize-test"


def bert_normalizer(
    clean_text: bool = True, chinese: bool = True, strip_accents: bool | None = None, lowercase: bool = True
) -> dict[str, Any]:
    return {
        "type": "BertNormalizer",
        "clean_text": clean_text,
        "handle_chinese_chars": chinese,
        "strip_accents": strip_accents,
        "lowercase": lowercase,
    }


def added_token(id: int, content: str, **flags: bool) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": id, "content": content, **plain, **flags}


def tokenizer_json(vocabulary: Sequence[str], **changes: Any) -> dict[str, Any]:
    """A BERT tokenizer of these tokens, which are to hold ``[UNK]``; ``changes`` replace parts of the file or model."""
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {token: i for i, token in enumerate(vocabulary)},
    }
    file = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": bert_normalizer(),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": model | {name: value for name, value in changes.items() if name in model},
    }
    return file | {name: value for name, value in changes.items() if name not in model}


def run(file: Path, texts: Sequence[bytes]) -> "subprocess.CompletedProcess[bytes]":
    frames = b"".join(struct.pack("<Q", len(text)) + text for text in texts)
    return subprocess.run([BINARY, file], input=frames, capture_output=True, check=False, timeout=120)


def ids_in_cpp(file: Path, texts: Sequence[bytes]) -> list[list[int]]:
    """The ids of every text."""
    done = run(file, texts)
    assert done.returncode == 0, done.stderr.decode()
    found: list[list[int]] = []
    offset = 0
    while offset < len(done.stdout):
        (count,) = struct.unpack_from("<Q", done.stdout, offset)
        found.append(list(struct.unpack_from(f"<{count}q", done.stdout, offset + 8)))
        offset += 8 + 8 * count
    return found


def ids_in_python(file: Path, texts: Sequence[bytes]) -> list[list[int]]:
    """The ids of every text, of the ``tokenizers`` library."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [e.ids for e in tokenizer.encode_batch_fast([text.decode("utf-8", "replace") for text in texts])]


def written(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def assert_same(file: Path, texts: Sequence[bytes]) -> None:
    """Both give the same ids for every text."""
    found, expected = ids_in_cpp(file, texts), ids_in_python(file, texts)
    assert len(found) == len(expected) == len(texts)
    for text, ours, theirs in zip(texts, found, expected, strict=True):
        assert ours == theirs, text[:200]
