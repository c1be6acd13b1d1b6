"""The TensorRT engine as far as it goes without TensorRT; what it gives is in tests/gpu."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lam_engines import BundleError, EngineError, InputError, load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import installing
from lam_engines.runtimes.onnxruntime.engine import OnnxRuntimeEngine

absent = pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")


@absent
def test_without_tensorrt(tiny_bundle: Path) -> None:
    for options in ({}, {"precision": "fp32"}, {"device": "cuda"}):
        with pytest.raises(EngineError) as caught:
            load_engine(tiny_bundle, "tensorrt", **options)
        assert str(caught.value) == f"TensorRT is not installed; run: {installing('tensorrt')}"


def test_without_cuda_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    from lam_engines.runtimes.tensorrt import cuda

    monkeypatch.setitem(__import__("sys").modules, "cuda.bindings", None)
    with pytest.raises(EngineError, match=r"cuda-bindings is not installed; run: pip install .*\[tensorrt\]'"):
        cuda.compute_capability("tensorrt", "tensorrt")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"threads": 2}, "expected no threads with the engine tensorrt, which runs on a GPU, found 2"),
        ({"device": "cpu"}, "expected device cuda with the engine tensorrt, found 'cpu'; leave it out"),
    ],
)
def test_options_that_it_does_not_have(tiny_bundle: Path, options: dict[str, Any], part: str) -> None:
    with pytest.raises(EngineError, match=part):
        load_engine(tiny_bundle, "tensorrt", **options)


def test_a_bundle_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected a bundle"):
        load_engine(tmp_path, "tensorrt")


class OfProfiles(OnnxRuntimeEngine):
    """A runtime that takes 3 texts of up to 10 tokens, and 1 of up to 40."""

    max_tokens = 40

    def _max_batch(self, tokens: int) -> int:
        if tokens > self.max_tokens:
            raise InputError(f"{tokens} tokens")
        return 3 if tokens <= 10 else 1

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        rows, tokens = input_ids.shape
        assert rows <= self._max_batch(tokens)
        return super()._infer(input_ids, attention_mask)


def test_batches_of_a_runtime_with_limits(tiny_bundle: Path, tiny_engine: OnnxRuntimeEngine) -> None:
    texts = [" ".join(["the cat"] * n) for n in (1, 2, 3, 4, 19, 0, 4, 7, 1, 1, 1)]
    with OfProfiles(Bundle(tiny_bundle)) as engine:
        for options in ({}, {"batch_tokens": 30}):
            found = engine.embed(texts, **options)
            np.testing.assert_allclose(found, tiny_engine.embed(texts), rtol=0, atol=1e-5)
        ids = np.tile(np.array([[2, 91, 92, 3]]), (10, 1))
        ids[:, 1] = np.arange(60, 70)
        expected = tiny_engine.embed_ids(ids)
        np.testing.assert_allclose(engine.embed_ids(ids), expected, rtol=0, atol=1e-5)
        padded, mask = np.pad(ids, ((0, 0), (0, 90))), np.pad(np.ones_like(ids), ((0, 0), (0, 90)))
        np.testing.assert_allclose(engine.embed_ids(padded, mask), expected, rtol=0, atol=1e-5)
        with pytest.raises(InputError, match="52 tokens"):
            engine.embed([*texts, "the cat " * 25])
