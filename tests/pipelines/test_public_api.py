"""What ``import lam_export`` gives: each command's work as a function, called as a notebook calls it."""

import shutil
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import lam_export
from lam_engines.errors import BundleError, LamError
from lam_engines.progress import Progress
from lam_export.export.tensorrt import PlanError
from lam_export.model.checkpoint import CheckpointError, load_checkpoint


class Told:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.progress = Progress(begin=lambda step, pieces: self.steps.append(step))


def test_every_name_is_a_function_with_a_page_of_its_own() -> None:
    names = set(lam_export.__all__) - {"__version__"}
    assert {"export_onnx", "export_memory", "build_plan", "validate_bundle"} <= names
    assert set(dir(lam_export)) == {*names, "__version__"}
    for name in names:
        function = getattr(lam_export, name)
        assert function.__name__ == name
        assert function.__doc__
    with pytest.raises(AttributeError, match="no attribute 'export_tflite'"):
        lam_export.export_tflite  # noqa: B018


def test_every_path_may_be_a_string() -> None:
    for name in set(lam_export.__all__) - {"__version__"}:
        for parameter in signature(getattr(lam_export, name)).parameters.values():
            if "Path" in str(parameter.annotation):
                assert "str" in str(parameter.annotation), f"{name}: {parameter}"


@pytest.mark.heavy
def test_a_checkpoint_to_a_bundle_that_holds(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    told = Told()
    exported = lam_export.export_onnx(
        str(tiny_checkpoint_folder),
        str(tmp_path / "bundle"),
        precisions=["fp16"],
        progress=told.progress,
    )
    assert exported.bundle.path == tmp_path / "bundle"
    assert exported.parity.passed
    assert set(exported.bundle.manifest.graphs) == {"model.onnx", "model.fp16.onnx"}
    assert told.steps[0] == "reading the checkpoint"
    assert told.steps[1:4] == [
        "tracing the encoder",
        "tracing the encoder in mixed precision",
        "checking and writing the graph",
    ]
    assert "running model.fp16.onnx in onnxruntime" in told.steps

    found = lam_export.validate_bundle(exported.bundle, load_checkpoint(tiny_checkpoint_folder), precision="fp32")
    assert found.passed
    assert found.bisection is None
    assert {row.graph for row in found.parity.rows} == {"model.onnx"}
    facts = found.to_dict()
    assert facts["checkpoint_sha256"] == facts["bundle_made_from_sha256"]

    strict = lam_export.validate_bundle(
        tmp_path / "bundle", tiny_checkpoint_folder, precision="fp16", cosine=0.99999999, bisect=True
    )
    assert not strict.passed
    assert strict.bisection is not None
    assert strict.bisection.search.keep
    assert strict.bisection.confirmed


WRONG_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "form": ({"form": "round"}, "expected form flat, recurrent or parallel, found 'round'"),
    "chunks of a form without": (
        {"form": "parallel", "chunk_size": 64},
        "expected no chunk size with the form parallel, which has no chunks, found 64",
    ),
    "no chunks": ({"chunk_size": 0}, "expected chunk size 1 to 65536, found 0"),
    "opset": ({"opset": 17}, "expected opset 18 to 23, found 17"),
    "stream of the flat form": (
        {"stream": True},
        "expected stream with the form recurrent, found it with the form flat, which streams with its graph",
    ),
    "stream of the parallel form": ({"stream": True, "form": "parallel"}, "which needs the whole text at once"),
    "precision": ({"precisions": ["fp8"]}, "expected precision fp32, fp16 or int8, found fp8"),
    "one precision": ({"precisions": "fp16"}, "found a single string"),
    "parts without fp16": ({"keep_fp32": ["layers.0.ffn_in"]}, "expected precision fp16 with parts to keep in fp32"),
}


@pytest.mark.parametrize("wrong", WRONG_OPTIONS)
def test_wrong_options_are_refused_before_anything_is_read(wrong: str, tmp_path: Path) -> None:
    options, message = WRONG_OPTIONS[wrong]
    with pytest.raises(LamError) as caught:
        lam_export.export_onnx(tmp_path / "nowhere", tmp_path / "bundle", **options)
    assert str(caught.value).startswith(message) or message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_taken_is_refused_before_anything_is_read(tiny_bundle: Path) -> None:
    for export in (lam_export.export_onnx, lam_export.export_memory):
        with pytest.raises(BundleError, match=r"there is a bundle at .* already"):
            export("nowhere", tiny_bundle)


def test_a_teacher_belongs_to_a_path(tiny_checkpoint_folder: Path, tiny_bundle: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint_folder)
    with pytest.raises(LamError, match="expected a teacher with the path of a checkpoint"):
        lam_export.validate_bundle(tiny_bundle, checkpoint, teacher=tiny_checkpoint_folder)
    with pytest.raises(CheckpointError, match="found nothing at nowhere"):
        lam_export.validate_bundle(tiny_bundle, "nowhere")


@pytest.mark.heavy
def test_a_teacher_is_in_the_manifest(tiny_teacher_folder: Path, tmp_path: Path) -> None:
    import tiny

    student = tiny.write_checkpoint(tmp_path / "student", "layers_alone", "pickle")
    exported = lam_export.export_memory(student, tmp_path / "memory", teacher=str(tiny_teacher_folder))
    assert exported.manifest.teacher is not None
    assert exported.manifest.teacher.file == "model.safetensors"


WRONG_PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "precision": ({"precision": "int8"}, "expected precision fp16 or fp32, found 'int8'"),
    "profile": ({"profiles": ["1x1"]}, "expected profile MIN,OPT,MAX"),
    "longest text": ({"max_tokens": 0}, "expected max tokens of at least 1, found 0"),
    "workspace": ({"workspace": 0.0}, "expected a workspace of more than 0 GiB, found 0.0"),
    "level": ({"optimization_level": 6}, "expected optimization level 0 to 5, found 6"),
}


@pytest.mark.parametrize("wrong", WRONG_PLANS)
def test_wrong_options_of_a_plan(wrong: str) -> None:
    options, message = WRONG_PLANS[wrong]
    with pytest.raises(PlanError) as caught:
        lam_export.build_plan("nowhere", **options)
    assert str(caught.value).startswith(message)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_a_plan_without_tensorrt(tiny_bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    with pytest.raises(LamError, match=r"tensorrt not installed here; run: pip install .*\[trt\]'"):
        lam_export.build_plan(bundle, checkpoint=load_checkpoint(tiny_checkpoint_folder))
    with pytest.raises(BundleError, match=r"expected model\.fp16\.onnx in .*--checkpoint CHECKPOINT"):
        lam_export.build_plan(bundle)


def test_what_a_checkpoint_holds(tiny_checkpoint_folder: Path) -> None:
    found = lam_export.inspect_checkpoint(tiny_checkpoint_folder)
    assert found.weights == tiny_checkpoint_folder / "model.safetensors"
    assert found.dtypes == ("float32",)
    assert found.flux == "per head"
    assert found.to_dict()["tokenizer"] == str(tiny_checkpoint_folder / "tokenizer.json")


@pytest.mark.heavy
@pytest.mark.needs("triton")
def test_what_kernels_cost(kernel_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(kernel_cache))
    costs = lam_export.compile_kernels(["sm_90"])
    assert [cost.variant for cost in costs] == ["rows16", "rows32", "rows64"]
    assert [cost.is_fault for cost in costs if cost.default] == [False]
    with pytest.raises(LamError, match="sm_70"):
        lam_export.compile_kernels(["sm_70"])
