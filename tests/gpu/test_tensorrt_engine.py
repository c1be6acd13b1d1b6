"""The TensorRT engine with a plan that is built for the tests, against the same bundle in ONNX Runtime."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from lam_engines import EngineError, InputError, load_engine

if TYPE_CHECKING:
    from lam_engines.embedding.engine import EmbeddingEngine

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.tensorrt,
    pytest.mark.needs("tensorrt", "polygraphy", "pydantic", "typer", "cuda"),
]
MAX_TOKENS = 600
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("trt") / "bundle"))
    command = [sys.executable, "-c", "from lam_export.cli import main; main()", "trt", str(path), "--fp32"]
    options = ["--max-tokens", str(MAX_TOKENS), "--optimization-level", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([*command, *options], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return path


@pytest.fixture(scope="module")
def engine(bundle: Path) -> Iterator["EmbeddingEngine"]:
    with load_engine(bundle, "tensorrt", precision="fp32") as engine:
        yield engine


def texts_of(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 128, length) for length in lengths]


def test_a_batch_that_is_larger_than_a_profile(engine: "EmbeddingEngine", tiny_engine: "EmbeddingEngine") -> None:
    texts = [" ".join(["the cat sleeps"] * (i % 9)) for i in range(500)]
    np.testing.assert_allclose(engine.embed(texts), tiny_engine.embed(texts), **CLOSE)


def test_more_shapes_than_are_kept(
    bundle: Path, engine: "EmbeddingEngine", tiny_engine: "EmbeddingEngine", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lam_engines.runtimes.tensorrt.engine._SHAPES", 2)
    texts = texts_of(*range(1, 200, 7))
    expected = np.concatenate([tiny_engine.embed_ids(text[None]) for text in texts])
    with load_engine(bundle, "tensorrt", precision="fp32") as other:
        for _ in range(3):
            np.testing.assert_allclose(np.concatenate([other.embed_ids(t[None]) for t in texts]), expected, **CLOSE)


def test_a_text_that_is_too_long(engine: "EmbeddingEngine") -> None:
    assert engine.max_tokens == MAX_TOKENS
    with pytest.raises(InputError, match=f"expected texts of at most {MAX_TOKENS} tokens .* --fp32 --max-tokens 768"):
        engine.embed_ids(texts_of(MAX_TOKENS + 1)[0][None])


def test_closing_gives_the_memory_back(bundle: Path) -> None:
    def free() -> int:
        torch.cuda.synchronize()
        return torch.cuda.mem_get_info()[0]

    before = []
    for _ in range(4):
        with load_engine(bundle, "tensorrt", precision="fp32") as engine:
            for length in (5, 100, MAX_TOKENS):
                for _ in range(3):
                    engine.embed_ids(texts_of(length)[0][None])
        before.append(free())
        with pytest.raises(EngineError, match="this engine is closed"):
            engine.embed(["a"])
    assert before[1] - before[-1] < 2**22  # what CUDA itself loads stays, once
