"""Every operator that TensorRT's ONNX parser meets is one that it documents, with tensors of a type that it documents.

The types are those of ``docs/operators.md`` in onnx/onnx-tensorrt for TensorRT 10.0, the oldest that a plan is built
with; that for 10.15 takes none of them back.
"""

import onnx
import pytest

from lam_export.export.mixed_precision import half_precision
from lam_export.export.opsets import DEFAULT_OPSET, OPSETS
from lam_export.export.tensorrt.graph import with_plugin, without_plugin
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.encoder import Encoder
from lam_plugins.fused_delta_rule import OP_DOMAIN

pytestmark = pytest.mark.heavy

FLOATS = {"FLOAT", "FLOAT16", "BFLOAT16"}
NUMBERS = FLOATS | {"INT32", "INT64"}
ALL = NUMBERS | {"BOOL"}
DOCUMENTED = {
    **dict.fromkeys(("Conv", "Erf", "LayerNormalization", "LpNormalization", "MatMul", "Sigmoid", "Sqrt"), FLOATS),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Min", "Max", "Less", "Greater", "Range"), NUMBERS),
    **dict.fromkeys(("GreaterOrEqual", "Sum"), NUMBERS),
    **dict.fromkeys(("Equal", "Gelu", "Pad", "ReduceL2", "ReduceMean", "ReduceSum"), NUMBERS),
    **dict.fromkeys(("Cast", "CastLike", "Concat", "Constant", "ConstantOfShape", "Expand", "Gather", "Identity"), ALL),
    **dict.fromkeys(("Reshape", "Shape", "Slice", "Split", "Squeeze", "Transpose", "Trilu", "Unsqueeze", "Where"), ALL),
    **{name: {"BOOL"} for name in ("And", "Not", "Or")},
    "Clip": FLOATS,
}
IN_THE_PARSERS_SOURCE = {("Clip", "INT64"), ("Equal", "BOOL")}
"""Not in that list, and imported all the same: Clip of integers as two elementwise layers, Equal for every type."""

NEWEST_OPSET = {"10.0": 20, "10.15": 24}


def undocumented(model: onnx.ModelProto) -> set[tuple[str, str]]:
    """Operators and the types of their data, as far as the parser's list lacks them."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.input, *inferred.output)}
    kinds |= {i.name: i.data_type for i in inferred.initializer}
    missing = set()
    for node in inferred.node:
        if node.domain != OP_DOMAIN:
            data = node.output[0] if node.op_type in ("Constant", "Range") else node.input[0]
            kind = onnx.TensorProto.DataType.Name(kinds[data])
            if kind not in DOCUMENTED.get(node.op_type, ()):
                missing.add((node.op_type, kind))
    return missing


@pytest.fixture(scope="module", params=[18, DEFAULT_OPSET])
def model(request: pytest.FixtureRequest, tiny_encoder: Encoder) -> onnx.ModelProto:
    """In mixed precision, whose operators are those of the other graph and some casts."""
    return onnx_from_encoder(half_precision(tiny_encoder), opset=request.param)


@pytest.mark.heavy
def test_every_operator_is_documented(model: onnx.ModelProto) -> None:
    assert undocumented(without_plugin(model)) <= IN_THE_PARSERS_SOURCE
    assert undocumented(with_plugin(model)) <= IN_THE_PARSERS_SOURCE


def test_int64_goes_in_as_it_is(model: onnx.ModelProto) -> None:
    assert {v.type.tensor_type.elem_type for v in with_plugin(model).graph.input} == {onnx.TensorProto.INT64}


def test_opsets_are_known_to_the_parsers() -> None:
    assert NEWEST_OPSET["10.0"] >= DEFAULT_OPSET
    assert max(OPSETS) <= NEWEST_OPSET["10.15"]
