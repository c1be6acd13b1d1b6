"""OpenVINO against ONNX Runtime, on the same bundle."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import forge, refusal

from lam_engines import EngineError, load_engine
from lam_engines.bundles.bundle import file_entry
from lam_engines.contract import INLINED_MODEL
from lam_engines.embedding.batching import pad
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.openvino.library import check_version

installed = pytest.mark.skipif(find_spec("openvino") is None, reason="no OpenVINO")  # not imported: see openvino.py
TEXTS = ["the cat sleeps", "", "a man is reading a red book", "music", "the dog runs " * 60, "no", " \0 😀 \ud800"]
LENGTHS = (1, 2, 3, 16, 31, 127, 128, 129, 255, 256, 257, 300, 511, 512, 513, 1000, 2000)
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Iterator[EmbeddingEngine]:
    with load_engine(tiny_bundle, "openvino") as engine:
        yield engine


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "a bundle"))


@installed
def test_texts(engine: EmbeddingEngine, tiny_engine: EmbeddingEngine) -> None:
    vectors = engine.embed(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 32), np.float32)
    np.testing.assert_allclose(vectors, tiny_engine.embed(TEXTS), **CLOSE)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, **CLOSE)
    np.testing.assert_allclose(np.concatenate([engine.embed([text]) for text in TEXTS]), vectors, **CLOSE)
    np.testing.assert_allclose(engine.embed(TEXTS[::-1], batch_tokens=7), vectors[::-1], **CLOSE)
    np.testing.assert_allclose(engine.encode(TEXTS, batch_size=2), vectors, **CLOSE)
    assert engine.embed([]).shape == (0, 32)


@installed
def test_every_awkward_length_alone_and_padded(engine: EmbeddingEngine, tiny_engine: EmbeddingEngine) -> None:
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, 128, length) for length in LENGTHS]
    expected = np.concatenate([tiny_engine.embed_ids(row[None]) for row in ids])
    np.testing.assert_allclose(np.concatenate([engine.embed_ids(row[None]) for row in ids]), expected, **CLOSE)
    np.testing.assert_allclose(engine.embed_ids(*pad(ids, 0)), expected, **CLOSE)


@installed
def test_neighbours_and_padding_change_nothing(engine: EmbeddingEngine, tiny_engine: EmbeddingEngine) -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 128, length) for length in (1, 2, 40, 130)]
    expected = np.concatenate([tiny_engine.embed_ids(row[None]) for row in texts])
    for _ in range(20):
        others = [rng.integers(0, 128, rng.integers(1, 300)) for _ in range(rng.integers(0, 6))]
        vectors = engine.embed_ids(*pad([*others, *texts], 0))
        np.testing.assert_allclose(vectors[len(others) :], expected, **CLOSE)


@installed
def test_a_row_of_no_tokens_is_zeros(engine: EmbeddingEngine, tiny_engine: EmbeddingEngine) -> None:
    ids, mask = np.array([[2, 91, 92, 3], [2, 94, 3, 0]]), np.array([[1, 1, 1, 1], [0, 0, 0, 0]])
    found = engine.embed_ids(ids, mask)
    np.testing.assert_array_equal(found[1], np.zeros(32))
    np.testing.assert_allclose(found[:1], tiny_engine.embed_ids(ids[:1]), **CLOSE)
    np.testing.assert_array_equal(engine.embed_ids(ids, mask * 0), np.zeros((2, 32)))


@installed
def test_arrays_of_any_layout_and_results_of_their_own(engine: EmbeddingEngine) -> None:
    ids = np.array([[2, 91, 92, 93, 3], [2, 94, 95, 96, 3]])
    first = engine.embed_ids(ids)
    before = first.copy()
    np.testing.assert_array_equal(engine.embed_ids(np.asfortranarray(ids)), before)
    np.testing.assert_array_equal(engine.embed_ids(np.repeat(ids, 2, axis=1)[:, ::2]), before)
    engine.embed_ids(ids[:, ::-1])
    np.testing.assert_array_equal(first, before)


@installed
def test_many_threads_share_an_engine(engine: EmbeddingEngine) -> None:
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS[:4]]
    expected = engine.embed(texts)
    parts = [slice(i, i + 20) for i in range(0, len(texts), 5)]
    with ThreadPoolExecutor(8) as pool:
        for part, found in zip(parts, pool.map(lambda part: engine.embed(texts[part]), parts), strict=True):
            np.testing.assert_allclose(found, expected[part], **CLOSE)


@installed
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(tiny_bundle: Path, engine: EmbeddingEngine, threads: int) -> None:
    with load_engine(tiny_bundle, "openvino", threads=threads) as other:
        np.testing.assert_allclose(other.embed(TEXTS), engine.embed(TEXTS), **CLOSE)


@installed
def test_a_closed_engine_says_so(tiny_bundle: Path) -> None:
    with load_engine(tiny_bundle, "openvino") as engine:
        assert engine.embed(["a"]).shape == (1, 32)
    engine.close()
    with pytest.raises(EngineError, match="this engine is closed"):
        engine.embed(["a"])


@installed
def test_nothing_is_reported_to_anyone(tiny_bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from lam_engines import load_engine\n"
        "with load_engine(sys.argv[1], 'openvino') as engine:\n"
        "    assert engine.embed(['a', 'the cat']).shape == (2, 32)\n"
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'lam_export', 'openvino_telemetry') if m in sys.modules])"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(tiny_bundle)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (result.stdout, result.stderr) == ("[]\n", "")
    assert not list(tmp_path.iterdir())  # it would keep an identifier of the user there


@installed
@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: b"\0" * 100, lambda c: c[: len(c) // 2]])
def test_what_is_no_graph(bundle: Path, damage: Callable[[bytes], bytes]) -> None:
    graph = bundle / INLINED_MODEL
    graph.write_bytes(damage(graph.read_bytes()))
    assert "not the file that the bundle was made with" in refusal(lambda: load_engine(bundle, "openvino"))
    forge(bundle, lambda m: m["files"].update({INLINED_MODEL: file_entry(graph).model_dump()}))
    message = refusal(lambda: load_engine(bundle, "openvino"))
    assert f"cannot load {INLINED_MODEL}" in message
    assert message.endswith("make the bundle again: lam-export onnx --inline")


@installed
def test_a_graph_of_another_width(bundle: Path) -> None:
    forge(bundle, lambda m: m["model"].update(hidden_size=64))
    message = refusal(lambda: load_engine(bundle, "openvino"))
    assert "output sentence_embedding [?,64], found inputs attention_mask, input_ids" in message
    assert "'sentence_embedding': '[?,32]'" in message


def test_a_bundle_without_the_inlined_graph(bundle: Path) -> None:
    forge(bundle, lambda m: (m["files"].pop(INLINED_MODEL), m["graphs"].pop(INLINED_MODEL)))
    message = refusal(lambda: load_engine(bundle, "openvino"))
    assert f"expected {INLINED_MODEL} in the bundle {bundle}, found none" in message
    assert message.endswith(f"lam-export onnx CHECKPOINT -o '{bundle}' --inline --force")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"threads": 0}, "at least 1 thread, found 0"),
        ({"device": "cuda"}, "expected device cpu with the engine openvino, found 'cuda'"),
        ({"precision": "fp16"}, "expected precision fp32 with the engine openvino, found 'fp16'"),
    ],
)
def test_options_that_it_does_not_have(tiny_bundle: Path, options: dict[str, Any], part: str) -> None:
    with pytest.raises(EngineError, match=part):
        load_engine(tiny_bundle, "openvino", **options)


def test_without_openvino(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match=r"not installed; run: pip install 'lam-export\[openvino\]'"):
        load_engine(tiny_bundle, "openvino")


def test_versions() -> None:
    for version in ("2026.2.0", "2026.4.1", "2027.0.0", "2026.10.0"):
        check_version(version)
    for version in ("2024.6.0", "2025.4.1", "2026.1.0"):
        with pytest.raises(EngineError, match=rf"expected OpenVINO 2026\.2 or newer, found {version}"):
            check_version(version)
