"""Plans that TensorRT for RTX really builds, without a GPU, and all that its parser and builder say about the graphs.

TensorRT proper is given the same graphs.
"""

import re
from pathlib import Path
from typing import Any

import onnx
import pytest
import tiny

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import OptimizationProfile, Range
from lam_engines.contract import MEMORY_MODEL
from lam_engines.progress import Progress
from lam_export.export.mixed_precision import half_precision
from lam_export.export.opsets import OPSETS
from lam_export.export.tensorrt import PlanError
from lam_export.export.tensorrt.build import run_builder
from lam_export.export.tensorrt.environment import BuildEnvironment, find_rtx
from lam_export.export.tensorrt.graph import load_graph, with_plugin, without_plugin
from lam_export.export.tensorrt.profiles import MEMORY_PROFILE
from lam_export.export.tensorrt.record import BuiltPlan
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder
from lam_plugins.fused_delta_rule import OP_DOMAIN, PLUGIN_NAMESPACE
from lam_plugins.fused_delta_rule.tensorrt import INPUTS

pytestmark = [pytest.mark.heavy, pytest.mark.needs("tensorrt_rtx")]

NAMED = {
    r"Make sure input \w+ has Int64 binding\.": "ids and mask are int64 in every graph, and the engine binds them so",
}
"""Warnings that are expected, and why."""
PROFILES = [OptimizationProfile(batch=Range(min=1, opt=2, max=4), tokens=Range(min=1, opt=32, max=300))]
FORMS = ("flat", "recurrent", "parallel")
SIZES = {"heads of 8": (32, 4), "one head of 32": (32, 1), "odd heads": (36, 4)}


@pytest.fixture(scope="module")
def rtx() -> BuildEnvironment:
    return find_rtx(())


def built(graph: onnx.ModelProto, environment: BuildEnvironment, profiles: list[OptimizationProfile]) -> BuiltPlan:
    return run_builder(without_plugin(graph), profiles, environment)


def unexpected(warnings: tuple[str, ...]) -> list[str]:
    return [warning for warning in warnings if not any(re.search(named, warning) for named in NAMED)]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_builds_without_a_warning(
    form: str, precision: str, rtx: BuildEnvironment, tiny_checkpoint_folder: Path
) -> None:
    encoder = Encoder(load_checkpoint(tiny_checkpoint_folder), form)
    graph = onnx_from_encoder(half_precision(encoder) if precision == "fp16" else encoder)
    plan = built(graph, rtx, PROFILES)
    assert unexpected(plan.warnings) == []
    assert len(plan.plan) > 50_000
    assert plan.inspector is None
    assert plan.timing_cache is None


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", FORMS)
def test_other_sizes(
    form: str, size: str, rtx: BuildEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, heads = SIZES[size]
    for name, value in {"HIDDEN": hidden, "HEADS": heads, "HEAD_SIZE": hidden // heads}.items():
        monkeypatch.setattr(tiny, name, value)
    encoder = Encoder(load_checkpoint(tiny.write_checkpoint(tmp_path / "lam")), form)
    assert unexpected(built(onnx_from_encoder(half_precision(encoder)), rtx, PROFILES).warnings) == []


@pytest.mark.slow
@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
def test_other_opsets(opset: int, rtx: BuildEnvironment, tiny_encoder: Encoder) -> None:
    graph = onnx_from_encoder(half_precision(tiny_encoder), opset=opset)
    assert unexpected(built(graph, rtx, PROFILES).warnings) == []


def test_a_memory_builds_without_a_warning(rtx: BuildEnvironment, tiny_memory: Path) -> None:
    graph = load_graph(Bundle(tiny_memory, kind="memory"), MEMORY_MODEL)
    assert unexpected(built(graph, rtx, [MEMORY_PROFILE]).warnings) == []


@pytest.mark.slow
@pytest.mark.demo
@pytest.mark.parametrize("name", ["model.fp16.onnx", "model.onnx"])
def test_the_demo_model_builds_without_a_warning(name: str, rtx: BuildEnvironment, demo_bundle: Path) -> None:
    plan = built(load_graph(Bundle(demo_bundle), name), rtx, PROFILES)
    assert unexpected(plan.warnings) == []
    assert len(plan.plan) > 60e6


def test_int8_is_refused_with_the_node(rtx: BuildEnvironment) -> None:
    """The graph for CPUs has zero points, which the parser does not take."""
    constant = [onnx.helper.make_tensor(n, t, (), [v]) for n, t, v in (("scale", 1, 0.5), ("zero", 2, 128))]
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="layers.0/Quantize"),
        onnx.helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], name="layers.0/Dequantize"),
    ]
    x, y = (onnx.helper.make_tensor_value_info(n, 1, ["batch", "tokens"]) for n in "xy")
    graph = onnx.helper.make_graph(nodes, "lam", [x], [y], constant)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    with pytest.raises(PlanError, match=r"refuses the node layers\.0/Quantize \(QuantizeLinear\): .*; make the bundle"):
        run_builder(model, PROFILES, rtx)


def test_gpus_that_one_plan_can_be_for(rtx: BuildEnvironment) -> None:
    assert rtx.compute_capabilities[:4] == ("8.0", "8.6", "8.9", "12.0")
    assert (rtx.gpu, rtx.driver) == (None, None)
    assert find_rtx(["8.9", "8.6", "8.9"]).compute_capabilities == ("8.9", "8.6")
    with pytest.raises(PlanError, match=r"expected --gpu of 8\.0, 8\.6, .*, found 9\.0, sm_86$"):
        find_rtx(["8.6", "9.0", "sm_86"])
    with pytest.raises(PlanError, match=r"found 7\.5; TensorRT for RTX has no float32 products for 7\.5, use TensorRT"):
        find_rtx(["8.6", "7.5"])


def test_who_is_told_can_end_the_build(rtx: BuildEnvironment, tiny_memory: Path) -> None:
    """Ctrl-C is an exception of the same place."""

    def broken(step: str, pieces: int | None) -> None:
        raise KeyboardInterrupt

    graph = load_graph(Bundle(tiny_memory, kind="memory"), MEMORY_MODEL)
    with pytest.raises(KeyboardInterrupt):
        run_builder(without_plugin(graph), [MEMORY_PROFILE], rtx, progress=Progress(begin=broken))


def test_progress_is_told_in_pieces(rtx: BuildEnvironment, tiny_memory: Path) -> None:
    steps: list[tuple[str, int | None]] = []
    done: list[int] = []
    graph = load_graph(Bundle(tiny_memory, kind="memory"), MEMORY_MODEL)
    told = Progress(lambda step, pieces: steps.append((step, pieces)), done.append)
    run_builder(without_plugin(graph), [MEMORY_PROFILE], rtx, progress=told)
    assert steps
    assert all(step.startswith("TensorRT for RTX: ") and pieces == 1000 for step, pieces in steps)
    assert 0 < sum(done) <= 1000 * len(steps)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_parser_asks_for_the_plugin_of_every_layer(precision: str, tiny_encoder: Encoder) -> None:
    """It cannot be given one: its Python interface ends the process after the question."""
    graph = with_plugin(onnx_from_encoder(half_precision(tiny_encoder) if precision == "fp16" else tiny_encoder))
    kinds = {tensor.name: onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in graph.graph.initializer}
    found = {"fp32": ("FLOAT", "FLOAT"), "fp16": ("HALF", "FLOAT16")}[precision]
    nodes = [node for node in graph.graph.node if node.domain == OP_DOMAIN]
    assert len(nodes) == len(tiny_encoder.layers)
    for node in nodes:
        ((name, attributes, computed),) = questions(graph, node)
        assert name == node.name
        assert attributes == [], "the plugin knows its sizes from the shapes"
        assert [computed[value][0] for value in node.input[:2]] == [found[0], "INT32"]
        assert [len(computed[value][1]) for value in node.input[:2]] == [3, 1]
        assert computed[node.input[0]][1][2] > 4 * tiny.HIDDEN, "the columns of the packed projection"
        assert [value.rpartition(".")[2] for value in node.input[2:]] == [*INPUTS[2:]]
        assert {kinds[value] for value in node.input[2:]} == {found[1]}


def questions(graph: onnx.ModelProto, asked: onnx.NodeProto) -> list[tuple[str, list[str], dict[str, Any]]]:
    """What the parser asks a creator of plugins: for each question the node's name, its attributes' names, and type and
    shape of every value that is computed before it.

    Only one node stays: the parser gives up at the first plugin that it does not get. The others become slices.
    """
    import tensorrt_rtx as trt

    one = onnx.ModelProto()
    one.CopyFrom(graph)
    bounds = {"first": [0], "after": [tiny.HIDDEN], "axis": [2]}
    one.graph.initializer.extend(onnx.helper.make_tensor(name, 7, (1,), value) for name, value in bounds.items())
    for node in one.graph.node:
        if node.domain == OP_DOMAIN and node.name != asked.name:
            node.CopyFrom(onnx.helper.make_node("Slice", [node.input[0], *bounds], list(node.output), name=node.name))
    found: list[tuple[str, list[str], dict[str, Any]]] = []
    log = trt.Logger(trt.Logger.INTERNAL_ERROR)
    network = trt.Builder(log).create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))

    class Creator(trt.IPluginCreatorV3One):
        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_namespace, self.plugin_version = asked.op_type, PLUGIN_NAMESPACE, "1"
            self.field_names = trt.PluginFieldCollection([])

        def create_plugin(self, name: str, fields: Any, phase: Any) -> None:
            layers = [network.get_layer(i) for i in range(network.num_layers)]
            outputs = [layer.get_output(i) for layer in layers for i in range(layer.num_outputs)]
            values = {output.name: (output.dtype.name, tuple(output.shape)) for output in outputs}
            found.append((name, [fields[i].name for i in range(len(fields))], values))

    creator, registry = Creator(), trt.get_plugin_registry()
    assert registry.register_creator(creator, PLUGIN_NAMESPACE)
    try:
        assert not trt.OnnxParser(network, log).parse(one.SerializeToString())
    finally:
        registry.deregister_creator(creator)
    return found
