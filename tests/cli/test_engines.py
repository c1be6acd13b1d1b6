"""Engines by name, in the commands."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from commands import MAIN, lam_export, lam_export_process, refusal

from lam_engines.errors import installing

openvino = pytest.mark.needs("openvino")
without_tensorrt = pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")


@openvino
def test_embed_with_openvino(tiny_bundle: Path, tmp_path: Path) -> None:
    texts = ["the red dog", "", "a big house by the water"]
    for engine in ("onnxruntime", "openvino"):
        result = lam_export("embed", tiny_bundle, *texts, "--engine", engine, "-o", tmp_path / f"{engine}.npy")
        assert result.returncode == 0, result.stderr
    found, expected = (np.load(tmp_path / f"{engine}.npy") for engine in ("openvino", "onnxruntime"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.heavy
@openvino
def test_validate_with_openvino(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    options = ("validate", tiny_bundle, "--checkpoint", tiny_checkpoint_folder, "--engine", "openvino")
    result = lam_export(*options, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["passed"] is True
    assert {(row["graph"], row["engine"], row["output"]) for row in report["rows"]} == {
        ("model.inlined.onnx", "openvino", "sentence_embedding")
    }
    assert max(row["tokens"] for row in report["rows"]) == 2000
    strict = lam_export(*options, "--max-abs", "1e-12")
    assert strict.returncode == 2
    assert "model.inlined.onnx in openvino, sentence_embedding" in strict.stdout


def test_validate_one_precision(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    options = ("validate", tiny_bundle, "--checkpoint", tiny_checkpoint_folder, "--precision")
    result = lam_export(*options, "fp32", "--json")
    assert {row["engine"] for row in json.loads(result.stdout)["rows"]} == {"onnxruntime"}
    assert "expected model.fp16.onnx in the bundle" in refusal(*options, "fp16")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--engine", "caffe"], "expected engine auto, onnxruntime, openvino, tensorrt or tensorrt-rtx, found 'caffe'"),
        (["--engine", "openvino", "--precision", "fp16"], "expected precision fp32 or bf16 with the engine openvino"),
        (["--engine", "openvino", "--device", "cuda"], "expected device cpu with the engine openvino"),
        (["--engine", "tensorrt", "--threads", "2"], "expected no threads with the engine tensorrt"),
        (["--precision", "fp16"], "expected model.fp16.onnx in the bundle"),
        (["--precision", "fp8"], "expected an engine that runs fp8 on the device cpu, found none"),
    ],
)
def test_options_that_do_not_fit(tiny_bundle: Path, options: list[str], part: str) -> None:
    assert part in refusal("embed", tiny_bundle, "a text", *options)


@without_tensorrt
def test_tensorrt_where_it_is_not(tiny_bundle: Path, tiny_checkpoint_folder: Path) -> None:
    expected = f"TensorRT is not installed; run: {installing('tensorrt')}"
    assert expected in refusal("embed", tiny_bundle, "a text", "--engine", "tensorrt")
    checkpoint = ("--checkpoint", tiny_checkpoint_folder)
    assert expected in refusal("validate", tiny_bundle, *checkpoint, "--engine", "tensorrt")
    assert expected in lam_export("doctor", tiny_bundle).stdout


@openvino
def test_doctor_tries_openvino(tiny_bundle: Path) -> None:
    (row,) = [line for line in lam_export("doctor", tiny_bundle).stdout.splitlines() if "engine openvino" in line]
    assert "✓" in row
    assert "embedded a text: 32 numbers" in row


@pytest.mark.heavy
def test_doctor_without_openvino() -> None:
    result = lam_export_process("doctor", code=f"import sys; sys.modules['openvino'] = None; {MAIN}")
    assert result.returncode == 0
    assert f"OpenVINO is not installed; run: {installing('cpu')}" in result.stdout
