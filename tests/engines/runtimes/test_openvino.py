"""OpenVINO against ONNX Runtime, on the same bundle."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import forge, refusal

from lam_engines import EngineError, load_engine
from lam_engines.bundles.bundle import file_entry
from lam_engines.contract import INLINED_MODEL
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.openvino.library import check_version

installed = pytest.mark.needs("openvino")
TEXTS = ["the cat sleeps", "", "a man is reading a red book", "music", "the dog runs " * 60, "no", " \0 😀 \ud800"]


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Iterator[EmbeddingEngine]:
    with load_engine(tiny_bundle, "openvino") as engine:
        yield engine


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "a bundle"))


@installed
@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: b"\0" * 100, lambda c: c[: len(c) // 2]])
def test_what_is_no_graph(bundle: Path, damage: Callable[[bytes], bytes]) -> None:
    graph = bundle / INLINED_MODEL
    graph.write_bytes(damage(graph.read_bytes()))
    assert "not the file that the bundle was made with" in refusal(lambda: load_engine(bundle, "openvino"))
    forge(bundle, lambda m: m["files"].update({INLINED_MODEL: file_entry(graph).model_dump()}))
    message = refusal(lambda: load_engine(bundle, "openvino"))
    assert f"cannot load {INLINED_MODEL}" in message or f"{INLINED_MODEL} is no ONNX file, and is not read" in message
    assert "make the bundle again: lam-export onnx" in message


@installed
def test_a_graph_of_another_width(bundle: Path) -> None:
    forge(bundle, lambda m: m["model"].update(hidden_size=64))
    message = refusal(lambda: load_engine(bundle, "openvino"))
    assert "output sentence_embedding [?,64], found inputs attention_mask, input_ids" in message
    assert "'sentence_embedding': '[?,32]'" in message


@installed
def test_calls_at_the_same_time_share_the_threads(tiny_bundle: Path, engine: EmbeddingEngine) -> None:
    texts = TEXTS * 20
    expected = engine.embed(texts)
    with load_engine(tiny_bundle, "openvino", threads=1) as one:
        assert one.share(4) == 1
    with load_engine(tiny_bundle, "openvino", threads=2) as shared, ThreadPoolExecutor(8) as pool:
        assert shared.share(4) == 2
        for found in pool.map(lambda _: shared.embed(texts), range(8)):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        shared.close()
        with pytest.raises(EngineError, match="this engine is closed"):
            shared.embed(texts)


def test_a_bundle_without_the_inlined_graph(bundle: Path) -> None:
    forge(bundle, lambda m: (m["files"].pop(INLINED_MODEL), m["graphs"].pop(INLINED_MODEL)))
    message = refusal(lambda: load_engine(bundle, "openvino"))
    assert f"expected {INLINED_MODEL} in the bundle {bundle}, found none" in message
    assert message.endswith(f"lam-export onnx CHECKPOINT -o '{bundle}' --inline --force")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"threads": 0}, "expected 1 to 1024 threads, found 0"),
        ({"device": "cuda"}, "expected device cpu with the engine openvino, found 'cuda'"),
        ({"precision": "fp16"}, "expected precision fp32 or bf16 with the engine openvino, found 'fp16'"),
    ],
)
def test_options_that_it_does_not_have(tiny_bundle: Path, options: dict[str, Any], part: str) -> None:
    with pytest.raises(EngineError, match=part):
        load_engine(tiny_bundle, "openvino", **options)


@installed
def test_denormal_numbers_of_the_program_around_it_stay(engine: EmbeddingEngine) -> None:
    engine.embed(TEXTS)
    assert (np.full(64, 1e-40, np.float32) * np.float32(0.5)).all(), "no thread is left in flush-to-zero"


@pytest.mark.heavy
@installed
def test_the_converter_is_not_imported_but_there() -> None:
    code = f"""
import sys
from {check_version.__module__} import library
openvino = library()
assert not {{"openvino.tools.ovc", "openvino_telemetry"}} & set(sys.modules)
assert openvino.convert_model("nowhere.onnx")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "nowhere.onnx" in result.stderr, "the converter itself looks for the file"
    assert "AssertionError" not in result.stderr


def test_without_openvino(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match=r"not installed; run: pip install .*\[cpu\]'"):
        load_engine(tiny_bundle, "openvino")


def test_versions() -> None:
    for version in ("2026.2.0", "2026.4.1", "2027.0.0", "2026.10.0"):
        check_version(version)
    for version in ("2024.6.0", "2025.4.1", "2026.1.0"):
        with pytest.raises(EngineError, match=rf"expected OpenVINO 2026\.2 or newer, found {version}"):
            check_version(version)
