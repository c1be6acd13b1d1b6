"""The graph that TensorRT's parser is given: with the plugin, and of standard operators alone."""

from pathlib import Path

import bundles
import numpy as np
import onnx
import onnxruntime
import pytest

from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import BundleError
from lam_export.export.mixed_precision import half_precision
from lam_export.export.tensorrt import PlanError
from lam_export.export.tensorrt.graph import fused_nodes, load_graph, with_plugin, without_plugin
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.encoder import Encoder
from lam_plugins.fused_delta_rule import OP_DOMAIN, PLUGIN_NAMESPACE

pytestmark = pytest.mark.heavy

FLOAT, FLOAT16, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def model(request: pytest.FixtureRequest, tiny_encoder: Encoder) -> onnx.ModelProto:
    return onnx_from_encoder(half_precision(tiny_encoder) if request.param == "fp16" else tiny_encoder)


@pytest.fixture(scope="module")
def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    return without_plugin(model)


def test_with_the_plugin(model: onnx.ModelProto, tiny_encoder: Encoder) -> None:
    before = model.SerializeToString(deterministic=True)
    prepared = with_plugin(model)
    nodes = [node for node in prepared.graph.node if node.domain == OP_DOMAIN]
    assert [node.name for node in nodes] == fused_nodes(model)
    assert len(nodes) == len(tiny_encoder.layers)
    for node in nodes:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes == {"plugin_namespace": PLUGIN_NAMESPACE.encode(), "plugin_version": b"1", "aot": 1}
        assert node.op_type == "FusedDeltaRule_c128", "the plugin's name"
        assert len(node.input) == 6
    assert not prepared.functions, "else the parser might inline them"
    assert model.SerializeToString(deterministic=True) == before


def test_the_plugins_inputs_have_its_types(model: onnx.ModelProto) -> None:
    """TensorRT takes types from the graph: floats all alike, lengths int32, and sizes static but for B and L."""
    values = {v.name: v.type.tensor_type for v in (*model.graph.value_info, *model.graph.input)}
    kinds = {name: t.elem_type for name, t in values.items()} | {i.name: i.data_type for i in model.graph.initializer}
    for node in model.graph.node:
        if node.domain == OP_DOMAIN:
            projected, lengths, *rest = node.input
            assert kinds[projected] in (FLOAT, FLOAT16)
            assert kinds[lengths] == onnx.TensorProto.INT32
            assert {kinds[name] for name in rest} == {kinds[projected]}
            assert values[projected].shape.dim[2].dim_value > 0


def test_without_the_plugin(model: onnx.ModelProto, plain: onnx.ModelProto) -> None:
    onnx.checker.check_model(plain, full_check=True)
    onnx.shape_inference.infer_shapes(plain, check_type=True, strict_mode=True, data_prop=True)
    assert not plain.functions
    assert {node.domain for node in plain.graph.node} == {""}
    assert [value.name for value in plain.graph.input] == ["input_ids", "attention_mask"]
    assert plain.graph.output == model.graph.output


def test_what_tensorrt_wants_constant_is_constant(plain: onnx.ModelProto) -> None:
    constants = {i.name for i in plain.graph.initializer}
    constants |= {node.output[0] for node in plain.graph.node if node.op_type == "Constant"}
    seen = set()
    for node in plain.graph.node:
        wanted = {
            "Conv": (1, 2),
            "Split": (1,),
            "ReduceL2": (1,),
            "ReduceMean": (1,),
            "ReduceSum": (1,),
            "Squeeze": (1,),
            "Unsqueeze": (1,),
        }.get(node.op_type, ())
        seen |= {node.op_type for i in wanted if i < len(node.input)}
        assert all(node.input[i] in constants for i in wanted if i < len(node.input)), node.name
    assert {"Conv", "Split", "ReduceL2"} <= seen


def test_channels_of_the_convolutions_are_static(plain: onnx.ModelProto) -> None:
    inferred = onnx.shape_inference.infer_shapes(plain, data_prop=True)
    shapes = {v.name: v.type.tensor_type.shape.dim for v in inferred.graph.value_info}
    convolutions = [node for node in plain.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(shapes[node.input[0]][1].dim_value > 0 for node in convolutions)


@pytest.mark.parametrize(("batch", "tokens"), [(1, 1), (3, 31), (2, 128), (1, 129), (2, 300)])
def test_without_the_plugin_it_computes_the_same(
    model: onnx.ModelProto, plain: onnx.ModelProto, batch: int, tokens: int
) -> None:
    random = np.random.default_rng(tokens)
    lengths = np.array([tokens, 1, (tokens + 1) // 2])[:batch]
    feed = {
        "input_ids": random.integers(5, 100, (batch, tokens)),
        "attention_mask": (np.arange(tokens) < lengths[:, None]).astype(np.int64),
    }
    (found,), (expected,) = (
        onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)
        for m in (plain, model)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_graph_is_read_through_the_bundles_hash(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle(tiny_bundle)
    assert fused_nodes(load_graph(bundle, "model.onnx"))[1] == "layers.1.form/FusedDeltaRule_c128"
    with pytest.raises(PlanError, match=r"model\.inlined\.onnx, found none; make the bundle again: lam-export onnx"):
        load_graph(bundle, "model.inlined.onnx")
    no_graph = Bundle(bundles.write(tmp_path / "bundle", {"model.onnx": b"\xffno graph", "tokenizer.json": b"{}"}))
    with pytest.raises(BundleError, match=r"is no ONNX file, and is not read; make the bundle again"):
        load_graph(no_graph, "model.onnx")
    (no_graph.path / "model.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match="copy the bundle again"):
        load_graph(no_graph, "model.onnx")
