"""``lam-export embed --stream``: each file is one text."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import lam_export, refusal

from lam_engines import load_engine


def test_files_of_one_text_each(tiny_bundle: Path, tmp_path: Path) -> None:
    long, short, marked = tmp_path / "long.txt", tmp_path / "short.txt", tmp_path / "marked.txt"
    texts = ["the cat runs, the dog sleeps\r\n" * 3000, "a red house", "a red house"]
    for path, text in zip((long, short, marked), texts, strict=True):
        path.write_bytes((b"\xef\xbb\xbf" if path == marked else b"") + text.encode())
    result = lam_export("embed", tiny_bundle, "--stream", long, short, marked, "-o", tmp_path / "out.jsonl")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == [str(long), str(short), str(marked)]
    with load_engine(tiny_bundle) as engine:
        np.testing.assert_allclose([row["embedding"] for row in rows], engine.embed(texts), rtol=0, atol=1e-6)


def test_standard_input(tiny_bundle: Path) -> None:
    result = lam_export("embed", tiny_bundle, "--stream", "-", stdin="the cat runs\n" * 100)
    assert result.returncode == 0, result.stderr
    assert "embedding" in result.stdout


@pytest.mark.parametrize(
    "options",
    [(), ("a.txt", "--ray"), ("a.txt", "--column", "b"), ("--input", "a.txt"), ("a.txt", "--batch-tokens", 5)],
)
def test_options_that_do_not_go_together(tiny_bundle: Path, options: tuple[object, ...]) -> None:
    assert "expected files as arguments with --stream" in refusal("embed", tiny_bundle, "--stream", *options)


def test_files_that_cannot_be_read(tiny_bundle: Path, tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes("café".encode("latin-1"))
    assert "expected UTF-8, found byte 0xe9; convert" in refusal("embed", tiny_bundle, "--stream", latin)
    said = refusal("embed", tiny_bundle, "--stream", tmp_path / "none.txt")
    assert "none.txt: No such file or directory" in said
    assert "directory" in refusal("embed", tiny_bundle, "--stream", tmp_path)
