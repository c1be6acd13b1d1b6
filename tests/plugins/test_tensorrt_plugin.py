"""What the TensorRT plugin tells TensorRT, checked without it."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from compiled import EVERY_TARGET, Compiled

from lam_plugins.aot import FusedDeltaRuleBuild, KernelBuildError
from lam_plugins.fused_delta_rule import tensorrt as plugin

pytestmark = pytest.mark.needs("triton")

PUBLISHED = {"projected": (-1, -1, 1600), "conv_bias": (1152,), "norm_weight": (32,)}
SMALL = {"projected": (-1, -1, 128), "conv_bias": (48,), "norm_weight": (16,)}


class Expression:
    """What TensorRT's expressions of a dimension are asked here: nothing but ``+``, ``*`` and ``//`` by an int."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __add__(self, other: int) -> "Expression":
        return Expression(f"({self.text} + {int(other)})")

    def __mul__(self, other: int) -> "Expression":
        return Expression(f"({self.text} * {int(other)})")

    def __floordiv__(self, other: int) -> "Expression":
        return Expression(f"({self.text} // {int(other)})")

    def at(self, batch: int, tokens: int) -> int:
        return eval(self.text, {"B": batch, "L": tokens})


class Launches:
    """In the place of the kernel: notes what it is launched with."""

    def __init__(self) -> None:
        self.grids: list[tuple[int, int]] = []
        self.arguments: list[tuple[Any, ...]] = []

    def __getitem__(self, grid: tuple[int, int]) -> Any:
        self.grids.append(grid)
        return lambda *arguments, **_: self.arguments.append(arguments)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    from lam_plugins.fused_delta_rule import kernel

    found = Launches()
    monkeypatch.setattr(kernel, "fused_delta_rule_kernel", found)
    return found


def arguments(batch: int, tokens: int, head_size: int = 32, heads: int = 12) -> tuple[Any, ...]:
    """Of the operator, with shapes and no data."""
    import torch

    hidden = heads * head_size
    width = 4 * hidden + 3 * heads
    shapes = (batch, tokens, width + -width % 64), (batch,), (3 * hidden, 4), (3 * hidden,), (head_size,), (2,)
    types = (torch.int32 if name == "lengths" else torch.float16 for name in plugin.INPUTS)
    return tuple(torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in zip(shapes, types, strict=True))


@pytest.mark.parametrize("variant", ["rows16", "rows32", "rows64"])
@pytest.mark.parametrize("chunk", [16, 48, 128])
def test_grid_in_expressions_is_the_launchers(launches: Launches, variant: str, chunk: int) -> None:
    from lam_plugins.fused_delta_rule import kernel

    x, y = kernel.launch_grid(Expression("B"), Expression("L"), 12, chunk)
    lengths = {1, 2, chunk - 1, chunk, chunk + 1, 10 * chunk, 99_999, 100_000, *range(3, 100_000, 4_999)}
    for tokens in sorted(lengths):
        for batch in (1, 7, 65_535):
            kernel.fused_delta_rule(*arguments(batch, tokens), chunk, variant)
            chunks = len(range(0, tokens, chunk))
            assert launches.grids.pop() == (x.at(batch, tokens), y.at(batch, tokens)) == (12 * chunks, batch)


def test_a_grid_past_cudas_limit_is_not_launched(launches: Launches) -> None:
    from lam_plugins.fused_delta_rule import kernel

    with pytest.raises(ValueError, match="65,535"):
        kernel.fused_delta_rule(*arguments(65_536, 1), 128)
    assert not launches.grids


def test_parameters_are_inputs_then_scalars_then_outputs() -> None:
    from lam_plugins.fused_delta_rule import kernel

    signature = kernel.signature("fp16")
    names = [name for name, kind in signature.items() if kind != "constexpr"]
    assert names == [*plugin.INPUTS, *plugin.SCALARS, *plugin.OUTPUTS]
    assert list(signature) == list(kernel.fused_delta_rule_kernel.arg_names)
    assert {signature[name] for name in plugin.SCALARS} == {"i32"}
    assert all(signature[name].startswith("*") for name in (*plugin.INPUTS, *plugin.OUTPUTS))


def test_the_launcher_has_the_same_order(launches: Launches) -> None:
    import torch

    from lam_plugins.fused_delta_rule import kernel

    kernel.fused_delta_rule(*arguments(2, 300), 128)
    ((*inputs, tokens, heads),) = launches.arguments
    assert [tuple(t.shape) for t in inputs] == [tuple(t.shape) for t in arguments(2, 300)]
    assert tokens == 300
    assert isinstance(heads, torch.Tensor)
    assert heads.shape == (2, 300, 384)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def compiled(cache: Path) -> Compiled:
    """Tactic 1 of a small node."""
    return Compiled(lambda target: plugin.tactics(target, 32, "HALF", **SMALL)[1], cache)


@pytest.mark.heavy
@EVERY_TARGET
def test_parameters_in_the_ptx(compiled: Compiled, target: str) -> None:
    kernel = compiled[target]
    assert kernel.ptx.count(".entry") == 1
    entry = re.search(rf"\.visible \.entry {kernel.name}\((.*?)\)", kernel.ptx, re.DOTALL)
    assert entry is not None
    found = re.findall(r"\.param \.(\w+)", entry[1])
    assert found == ["u64"] * len(plugin.INPUTS) + ["u32"] * len(plugin.SCALARS) + ["u64"] * len(plugin.OUTPUTS)
    assert f"\n.reqntid {kernel.threads}\n" in kernel.ptx  # a launch of another block would fail


@pytest.mark.heavy
def test_only_what_fits_the_shared_memory_is_offered(
    compiled: Compiled, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = plugin.tactics("sm_80", 32, "HALF", **SMALL)
    del builds[3]  # a compilation less
    everything = plugin.compiled_tactics(builds, cache)
    assert list(everything) == [1, 2]
    assert everything[1] == compiled["sm_80"]
    assert everything[1].shared_bytes < everything[2].shared_bytes
    monkeypatch.setattr(plugin, "MAX_SHARED_BYTES", everything[1].shared_bytes)
    assert list(plugin.compiled_tactics(builds, cache)) == [1]
    monkeypatch.setattr(plugin, "MAX_SHARED_BYTES", 0)
    with pytest.raises(KernelBuildError, match="shared memory"):
        plugin.compiled_tactics(builds, cache)


def test_tactics_are_the_kernels_variants() -> None:
    from lam_plugins.fused_delta_rule import kernel

    found = plugin.tactics("sm_90", 128, "HALF", **PUBLISHED)
    assert {tactic: build.variant for tactic, build in found.items()} == dict(enumerate(kernel.VARIANTS, 1))
    assert found[2] == FusedDeltaRuleBuild("sm_90", 384, 32, 1600, 128, "rows32", "fp16")


def test_variants_that_come_to_the_same_are_one_tactic() -> None:
    # Blocks of 16 all three, the first and the last with four warps.
    assert list(plugin.tactics("sm_90", 48, "HALF", **PUBLISHED)) == [1, 2]


def test_float32_has_one_tactic() -> None:
    assert plugin.tactics("sm_90", 128, "FLOAT", **PUBLISHED) == {
        1: FusedDeltaRuleBuild("sm_90", 384, 32, 1600, 128, "rows16", "fp32")
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_type": "BF16"}, "BF16"),
        ({"projected": (-1, -1, -1)}, "static"),
        ({"norm_weight": (48,)}, "head sizes 16, 32, 64 in fp16; found 48"),
        ({"data_type": "FLOAT", "norm_weight": (64,)}, "head sizes 16, 32 in fp32; found 64"),
        ({"chunk_size": 24}, "chunk sizes"),
    ],
)
def test_nodes_that_the_kernel_cannot_compute(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        plugin.tactics("sm_90", **{"chunk_size": 128, "data_type": "HALF", **PUBLISHED, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("data_type", "taken"), [("HALF", [16, 32, 64]), ("FLOAT", [16, 32])])
def test_head_sizes(data_type: str, taken: list[int]) -> None:
    found = []
    for size in (8, 16, 32, 48, 64, 128):
        with suppress(ValueError):
            plugin.tactics("sm_90", 128, data_type, **PUBLISHED | {"norm_weight": (size,)})
            found.append(size)
    assert found == taken


def test_types_of_inputs_and_outputs() -> None:
    assert plugin.io_types("HALF") == "FP16,INT32,FP16,FP16,FP16,FP16,FP16"
    assert plugin.io_types("FLOAT") == "FP32,INT32,FP32,FP32,FP32,FP32,FP32"


@pytest.mark.needs("onnxscript")
def test_name_and_inputs_are_the_onnx_functions() -> None:
    from lam_plugins.fused_delta_rule.onnx_function import fused_delta_rule_function

    function = fused_delta_rule_function(64, 384, 20)
    assert plugin.plugin_name(64) == f"lam::{function.name}" == "lam::FusedDeltaRule_c64"
    assert list(function.input) == list(plugin.INPUTS)
    assert len(function.output) == len(plugin.OUTPUTS)


def test_tensorrt_takes_no_dot_in_a_plugins_name() -> None:
    assert "." not in plugin.plugin_name(128)


@pytest.mark.parametrize("version", ["10.9.0.34", "10.13.3.9.post1", "10.15.1.29", "10.100.0", "11.0.0.114", "11.4.0"])
def test_versions_that_take_the_plugin(version: str) -> None:
    assert plugin.plugin_fault(version) is None


@pytest.mark.parametrize("version", ["8.6.1", "9.9.0", "10.8.0.43", "10.1", "10.14.1.48.post1", "10.14", "unknown", ""])
def test_versions_that_do_not(version: str) -> None:
    fault = plugin.plugin_fault(version)
    assert fault is not None
    assert "10.9 or newer, and not 10.14" in fault
    assert fault.endswith(f"found {version}")
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("chunk", "target", "message"),
    [(128, "sm_70", r"sm_70.*sm_80, sm_86"), (24, "sm_90", r"16, 32, \.\. 128; found 24")],
)
def test_plugins_that_cannot_be(chunk: int, target: str, message: str) -> None:
    with pytest.raises(plugin.PluginError, match=message) as caught:
        plugin.register_plugin(chunk, target, None)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="tensorrt is here")
def test_without_tensorrt() -> None:
    with pytest.raises(plugin.PluginError, match=r"cannot be imported .*run: pip install tensorrt triton") as caught:
        plugin.register_plugin(128, "sm_90", None)
    assert "\n" not in str(caught.value)


def test_heavy_modules_wait_for_a_plugin() -> None:
    code = (
        "import sys\nfrom lam_plugins.fused_delta_rule.tensorrt import plugin_fault as f; f('11')\nprint(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert not {"torch", "triton", "tensorrt"} & set(result.stdout.split())


@pytest.mark.needs("tensorrt")
@pytest.mark.tensorrt
def test_registering() -> None:
    import tensorrt as trt

    plugin.register_plugin(128, "sm_80", None)
    plugin.register_plugin(128, "sm_90", None)  # another GPU, not another plugin
    namespace, _, name = plugin.plugin_name(128).partition("::")
    creator = trt.get_plugin_registry().get_creator(name, "1", namespace)
    assert creator is not None
    assert creator.plugin_namespace == namespace
