"""``lam-embed`` with TensorRT's engines where there is no GPU: the real library of TensorRT for RTX, real plans."""

import shutil
from pathlib import Path

import pytest
import torch
from commands import lam_export_process
from cpp_engine import CppEngine

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")

NO_GPU = (
    "expected a GPU for the engine {}, found none that CUDA can use (CUDA failed: CUDA driver version is insufficient "
    "for CUDA runtime version); see nvidia-smi, or use another engine"
)


@pytest.fixture(scope="module")
def engine(cpp_engine: CppEngine, tiny_bundle: Path) -> CppEngine:
    if "of this build" in cpp_engine.refusal(tiny_bundle, "--engine", "tensorrt"):
        pytest.skip('no TensorRT; run: scripts/build_cpp -DTENSORRT_ROOT="$(scripts/fetch_tensorrt)"')
    return cpp_engine


@pytest.fixture(scope="module")
def planned(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a plan of TensorRT for RTX."""
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("rtx") / "bundle"))
    built = lam_export_process("trt", bundle, "--rtx", "--fp32", "--profile", "1x1,1x8,2x16")
    assert built.returncode == 0, built.stderr
    return bundle


def test_tensorrt_says_that_there_is_no_driver(engine: CppEngine, tiny_bundle: Path) -> None:
    assert engine.refusal(tiny_bundle, "--engine", "tensorrt") == NO_GPU.format("tensorrt")


@pytest.mark.needs("tensorrt_rtx")
def test_a_plan_for_many_gpus_is_chosen_and_there_is_no_driver(engine: CppEngine, planned: Path) -> None:
    arguments = ["--engine", "tensorrt-rtx", "--precision", "fp32"]
    assert engine.refusal(planned, *arguments) == NO_GPU.format("tensorrt-rtx")


def test_a_bundle_without_such_a_plan(engine: CppEngine, tiny_bundle: Path) -> None:
    said = engine.refusal(tiny_bundle, "--engine", "tensorrt-rtx")
    assert said.startswith("expected a plan of precision fp16 for TensorRT for RTX in ")
    assert said.endswith(f"found none; build it here: lam-export trt {tiny_bundle} --fp16 --rtx")


@pytest.mark.needs("tensorrt_rtx")
def test_a_plan_that_was_altered(engine: CppEngine, planned: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(planned, tmp_path / "copy"))
    (plan,) = (copy / "engines").glob("*.plan")
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)
    said = engine.refusal(copy, "--engine", "tensorrt-rtx", "--precision", "fp32")
    assert said.startswith(f"{plan} is not the file that the bundle was made with")


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_threads_are_of_the_cpu(engine: CppEngine, tiny_bundle: Path, name: str) -> None:
    said = engine.refusal(tiny_bundle, "--engine", name, "--threads", "2")
    assert said == f"expected no threads with the engine {name}, which runs on a GPU, found 2"
