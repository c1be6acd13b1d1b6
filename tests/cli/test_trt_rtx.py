"""``lam-export trt --rtx`` as a user runs it: the plan in the bundle, who names it, and what is said without a GPU."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bundles
import onnx
import pytest
from commands import MAIN, lam_export, refusal

from lam_engines import BundleError, EngineError, load_engine
from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.gpu import gpu_name
from lam_engines.runtimes.registry import runtime
from lam_engines.runtimes.tensorrt.engine import check_validity, log_of

pytestmark = [pytest.mark.heavy, pytest.mark.needs("tensorrt_rtx")]
without_gpu = pytest.mark.skipif(bool(gpu_name()), reason="there is a GPU")
QUICK = ("--rtx", "--fp32", "--profile", "1x1,2x32,4x300", "--gpu", "8.6,8.9")


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a plan for two kinds of GPUs."""
    copy = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("rtx") / "a bundle"))
    result = lam_export("trt", copy, *QUICK)
    assert result.returncode == 0, result.stderr
    assert "tensorrt-rtx" in result.stdout
    assert "built on the CPU; it has not run" in result.stdout
    return copy


def test_the_plan_is_in_the_bundle(bundle: Path) -> None:
    opened = Bundle(bundle)
    ((name, plan),) = opened.manifest.plans.items()
    assert name.startswith("engines/fp32-noplugin-sm86_89-rtx1.")
    assert plan.library == "tensorrt-rtx"
    assert plan.version == runtime("tensorrt-rtx").version()
    assert plan.compute_capabilities == ("8.6", "8.9")
    assert (plan.precision, plan.plugin, plan.tactics) == ("fp32", False, {})
    assert (plan.gpu, plan.driver, plan.inspector) == (None, None, None)
    assert [str(profile) for profile in plan.profiles] == ["1x1,2x32,4x300"]
    assert len(opened.read(name)) > 50_000
    assert opened.manifest.timing_cache == {}
    bundles.check_with_sha256sum(bundle)


def test_a_second_build_replaces_it(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    assert lam_export("trt", copy, *QUICK).returncode == 0
    assert len(Bundle(copy).manifest.plans) == 1
    assert len(list((copy / "engines").iterdir())) == 1


def test_a_memory(tiny_memory: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_memory, tmp_path / "memory"))
    result = lam_export("trt", copy, "--rtx")
    assert result.returncode == 0, result.stderr
    (plan,) = Bundle(copy, kind="memory").manifest.plans.values()
    assert (plan.graph, plan.precision) == ("memory.onnx", "fp32")
    assert "fp16 does not apply to a memory's bundle" in refusal("trt", copy, "--rtx", "--fp16")
    assert "--max-tokens does not apply to a memory's bundle" in refusal("trt", copy, "--rtx", "--max-tokens", 5)


@pytest.mark.parametrize("command", ["doctor", "inspect"])
def test_who_names_the_plan(command: str, bundle: Path) -> None:
    shown = lam_export(command, bundle).stdout
    (name,) = Bundle(bundle).manifest.plans
    assert name in shown
    assert f"tensorrt-rtx {runtime('tensorrt-rtx').version()}" in shown
    assert "compute capability 8.6, 8.9" in shown


@without_gpu
def test_without_a_gpu_the_library_says_why(bundle: Path, tiny_checkpoint_folder: Path) -> None:
    for command in (
        ("embed", bundle, "a text"),
        ("validate", bundle, "--checkpoint", tiny_checkpoint_folder),
    ):
        line = refusal(*command, "--engine", "tensorrt-rtx", "--precision", "fp32")
        assert "cudaError 35" in line or "CUDA driver version is insufficient" in line, line
        assert "use another engine" in line
    assert "lam-export doctor" in refusal("bench", bundle, "--engine", "tensorrt-rtx", "--precision", "fp32")
    with pytest.raises(EngineError, match=r"TensorRT for RTX [\d.]+ cannot run engines/.*CUDA.*; see nvidia-smi"):
        load_engine(bundle, "tensorrt-rtx", precision="fp32")
    assert runtime("tensorrt-rtx").runs(Bundle(bundle)) == ()


@without_gpu
def test_a_gpu_that_the_library_does_not_know(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other plan would help, so no command builds one. When a plan is loaded, the library itself is asked."""
    monkeypatch.setattr("lam_engines.runtimes.tensorrt.cuda.compute_capability", lambda *_: "9.0")
    with pytest.raises(EngineError, match=r"capability 7\.5, 8\.0, .* found one of 9\.0; use another engine"):
        runtime("tensorrt-rtx").file_of(Bundle(bundle), "fp32")
    with pytest.raises(EngineError, match=r"TensorRT for RTX [\d.]+ cannot run engines/.*; see nvidia-smi"):
        load_engine(bundle, "tensorrt-rtx", precision="fp32")


@without_gpu
def test_no_plan_comes_before_no_gpu(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"of precision fp16 for TensorRT for RTX .* --fp16 --rtx"):
        load_engine(tiny_bundle, "tensorrt-rtx")


@without_gpu
def test_what_is_no_plan_is_not_loaded() -> None:
    import tensorrt_rtx as trt

    library = trt.Runtime(log_of(trt))
    for content in (b"", b"no plan", b"ftrt" + bytes(4096)):
        with pytest.raises((EngineError, BundleError), match=r"^refused: "):
            check_validity(trt, library, content, "refused", "lam-export trt")


def planted(tiny_bundle: Path, folder: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    """A bundle whose graph was changed, with the right hashes."""
    copy = Path(shutil.copytree(tiny_bundle, folder / "planted"))
    model = onnx.load(copy / "model.onnx")
    change(model)
    onnx.save(model, copy / "model.onnx")
    entry = file_entry(copy / "model.onnx").model_dump()
    bundles.forge(copy, lambda manifest: manifest["files"].update({"model.onnx": entry}))
    return copy


def unknown_operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.name == "layers.1/Gelu").op_type = "Frobnicate"


def wrong_type(model: onnx.ModelProto) -> None:
    nodes = model.graph.node
    place = next(i for i, node in enumerate(nodes) if node.name == "layers.1.ffn_in/MatMul")
    cast = onnx.helper.make_node("Cast", [nodes[place].input[0]], ["half"], name="planted", to=onnx.TensorProto.FLOAT16)
    nodes[place].input[0] = "half"
    nodes.insert(place, cast)


def later_opset(model: onnx.ModelProto) -> None:
    next(entry for entry in model.opset_import if entry.domain == "").version = 30


FAULTS: dict[str, tuple[Callable[[onnx.ModelProto], object], str, str]] = {
    "unknown operator": (unknown_operator, "refuses the node layers.1/Gelu (Frobnicate): ", "Plugin not found"),
    "wrong type": (wrong_type, "refuses the node layers.1.ffn_in/MatMul (MatMul): ", "must have same input types"),
    "opset 30": (later_opset, "expected opset 18 to 23 in ", "found opset 30, from its first node on ("),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_graph_that_cannot_be_taken(fault: str, tiny_bundle: Path, tmp_path: Path) -> None:
    change, beginning, reason = FAULTS[fault]
    bundle = planted(tiny_bundle, tmp_path, change)
    line = refusal("trt", bundle, *QUICK)
    assert beginning in line
    assert reason in line
    assert "make the bundle again" in line
    assert "--opset" in line
    assert "plans" in json.loads((bundle / "manifest.json").read_text())
    assert not (bundle / "engines").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--gpu", "8.6"), "expected --gpu with --rtx only, found 8.6"),
        (("--rtx", "--gpu", "9.0"), "found 9.0"),
        (("--rtx", "--gpu", "7.5"), "has no float32 products for 7.5"),
    ],
)
def test_options_that_do_not_fit(options: tuple[str, ...], part: str, tiny_bundle: Path) -> None:
    assert part in refusal("trt", tiny_bundle, "--fp32", *options)


@pytest.mark.slow
@pytest.mark.demo
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_build_at_once(number: signal.Signals, demo_bundle: Path, tmp_path: Path) -> None:
    """A step of the demo model's build takes seconds, and the whole a quarter of a minute."""
    copy = Path(shutil.copytree(demo_bundle, tmp_path / "bundle"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MAIN, "trt", str(copy), "--rtx"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells ignore it in background jobs
    ) as process:
        assert process.stderr is not None
        assert any("giving the graph to" in line for line in process.stderr)  # said when the build begins
        start = time.monotonic()
        process.send_signal(number)
        said = process.stderr.read()
        process.wait()
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], said
    assert time.monotonic() - start < 15
    assert Bundle(copy).manifest.plans == {}
