"""``lam-export trt`` where there is no TensorRT: what it says, and in which order it looks."""

from importlib.util import find_spec
from pathlib import Path

import bundles
import pytest
from commands import MAIN, lam_export, lam_export_process, refusal

from lam_engines.errors import installing

without_tensorrt = pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")


def test_help_has_examples() -> None:
    result = lam_export("trt", "--help")
    assert result.returncode == 0
    assert "lam-export trt" in result.stdout.split("Examples:")[1]
    assert "CUDA_VISIBLE_DEVICES" in result.stdout


MISTAKES = {
    "both precisions": (["--fp16", "--fp32"], "found both; run lam-export trt once for each"),
    "half a profile": (["--profile", "1x1"], "expected profile MIN,OPT,MAX, each BATCHxTOKENS"),
    "a profile and the defaults' length": (["--profile", "1x1,1x2,1x3", "--max-tokens", "5"], "found both"),
    "no tokens": (["--max-tokens", "0"], "'--max-tokens'"),
    "level out of range": (["--optimization-level", "6"], "'--optimization-level'"),
    "no workspace": (["--workspace", "0"], "'--workspace'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_before_anything_is_read(mistake: str) -> None:
    options, expected = MISTAKES[mistake]
    assert expected in refusal("trt", "nowhere", *options)


def test_no_bundle(tmp_path: Path) -> None:
    assert "make one: lam-export onnx CHECKPOINT" in refusal("trt", tmp_path / "nowhere")


def test_no_fp16_graph_and_two_ways_to_it(tiny_bundle: Path) -> None:
    line = refusal("trt", tiny_bundle)
    assert "--checkpoint CHECKPOINT" in line
    assert f"lam-export onnx CHECKPOINT -o {tiny_bundle} --precision fp16 --force" in line


def test_no_graph_at_all(tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "bundle", {"tokenizer.json": b"{}"})
    assert "expected model.onnx" in refusal("trt", bundle, "--fp32")
    assert "expected model.onnx" in refusal("trt", bundle, "--checkpoint", "x"), "which tells opset and outputs"


@without_tensorrt
@pytest.mark.parametrize("options", [["--fp32"], ["--fp32", "--no-plugin"], ["--checkpoint", "nowhere"]])
def test_tensorrt_is_missed_before_any_work(options: list[str], tiny_bundle: Path) -> None:
    before = (tiny_bundle / "manifest.json").read_bytes()
    line = refusal("trt", tiny_bundle, *options)
    assert f"tensorrt not installed here; run: {installing('trt')}" in line
    assert (tiny_bundle / "manifest.json").read_bytes() == before


def test_nothing_heavy_is_loaded_for_a_mistake(tiny_bundle: Path) -> None:
    names = "torch", "onnx", "onnxruntime", "polygraphy", "triton"
    code = f"import atexit, sys; atexit.register(lambda: print([m for m in {names} if m in sys.modules])); {MAIN}"
    assert lam_export_process("trt", tiny_bundle, code=code).stdout.splitlines()[-1] == "[]"
