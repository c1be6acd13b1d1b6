"""The C++ engine's embeddings against those of ONNX Runtime in Python."""

import ctypes
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cpp_engine import CppEngine
from cpp_library import Library

from lam_engines.embedding.engine import EmbeddingEngine

CLOSE = {"rtol": 0, "atol": 2e-5}
WORDS = ["the", "cat", "sleeps", "is", "reading", "running", "東京", "é", "😀", "xyzzy", "ﬁ", "don't", "Ж", "--"]


def mixed_texts(count: int) -> list[str]:
    """Texts of one line, most short, some of several chunks, some empty."""
    numbers = random.Random(0)
    lengths = numbers.choices(
        (0, 1, 2, 5, 8, 13, 30, 126, 127, 128, 129, 300), (9, 9, 9, 9, 9, 9, 9, 1, 1, 1, 1, 1), k=count
    )
    return [" ".join(numbers.choices(WORDS, k=length)) for length in lengths]


def test_a_thousand_mixed_texts_in_batches_and_alone(
    cpp_engine: CppEngine, tiny_bundle: Path, tiny_engine: EmbeddingEngine
) -> None:
    texts = mixed_texts(1000)
    expected = tiny_engine.embed(texts)
    np.testing.assert_allclose(cpp_engine.embed(tiny_bundle, texts), expected, **CLOSE)
    np.testing.assert_allclose(cpp_engine.embed(tiny_bundle, texts[:200], "--batch-tokens", 1), expected[:200], **CLOSE)
    threads = ["--threads", 1, "--batch-tokens", 4096]
    np.testing.assert_allclose(cpp_engine.embed(tiny_bundle, texts[:200], *threads), expected[:200], **CLOSE)


def test_sixteen_threads_share_an_engine(cpp_build: Path, tiny_bundle: Path) -> None:
    command = [cpp_build / "tests" / "lam-threads-test", tiny_bundle, "16", "3"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (0, "0 wrong\n"), result


def test_the_compiled_graph_is_kept_where_asked(
    cpp_engine: CppEngine, tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path
) -> None:
    texts = mixed_texts(20)
    for _ in range(2):
        found = cpp_engine.embed(tiny_bundle, texts, "--cache", tmp_path / "cache")
        np.testing.assert_allclose(found, tiny_engine.embed(texts), **CLOSE)
    assert list((tmp_path / "cache").iterdir())


@pytest.fixture(scope="module")
def library(cpp_build: Path, tiny_bundle: Path) -> Iterator[Library]:
    with Library(cpp_build, tiny_bundle) as library:
        yield library


def test_the_c_interface(library: Library, tiny_engine: EmbeddingEngine) -> None:
    status, said, vectors = library.embed([b"the cat sleeps", b"", "東京 é".encode()])
    assert (status, said) == (Library.OK, "")
    np.testing.assert_allclose(vectors, tiny_engine.embed(["the cat sleeps", "", "東京 é"]), **CLOSE)
    assert library.embed([])[0] == Library.OK
    assert library.c.lam_engine_max_tokens(library.engine) == 0
    assert library.c.lam_version()


def test_ids(library: Library, tiny_engine: EmbeddingEngine) -> None:
    rows = [[2, 91, 92, 3], [], [2, 3], [2, *range(4, 100), 3]]
    status, said, vectors = library.embed_ids(rows)
    assert (status, said) == (Library.OK, "")
    for row, vector in zip(rows, vectors, strict=True):
        expected = tiny_engine.embed_ids(np.array([row]))[0] if row else np.zeros(len(vector))
        np.testing.assert_allclose(vector, expected, **CLOSE)
    for wrong in (-1, 10**6):
        status, said, _ = library.embed_ids([[2, wrong, 3]])
        assert status == Library.INPUT_ERROR
        assert said.endswith(f"found {wrong}; tokenise with the bundle's tokenizer.json")


def test_what_the_c_interface_refuses(library: Library, tmp_path: Path) -> None:
    engine = ctypes.c_void_p()
    status, said = library.load(tmp_path, engine)
    assert (status, engine.value) == (Library.BUNDLE_ERROR, None)
    assert said.startswith("expected a bundle (a folder with manifest.json), found none at")
    status, said, _ = library.embed([b"a", None])
    assert (status, said) == (Library.INPUT_ERROR, "expected a text, found a null pointer")
    assert library.c.lam_engine_load(None, None, None, None) == Library.INPUT_ERROR
    library.c.lam_engine_free(None)
    library.c.lam_string_free(None)
