"""Each pass alone, on a graph of a few nodes; and their order."""

import onnx_ir as ir
import pytest

from lam_export.export.operators import operator_of
from lam_export.export.passes import passes
from lam_export.export.passes.functions import AttachFunction
from lam_export.export.passes.names import NameParts
from lam_export.export.passes.residuals import SumResiduals
from lam_export.export.passes.signature import Sign
from lam_export.model.encoder import Encoder
from lam_plugins.fused_delta_rule import OP_DOMAIN

SCOPES = "pkg.torch.onnx.name_scopes"


def node(kind: str, *inputs: ir.Value, result: str, module: str = "", domain: str = "") -> ir.Node:
    scopes = {SCOPES: f"['', '{module}', 'inner']", "pkg.torch.onnx.stack_trace": "/home/me/model.py"} if module else {}
    return ir.Node(domain, kind, list(inputs), outputs=[ir.Value(name=result)], metadata_props=scopes)


@pytest.fixture
def model() -> ir.Model:
    """``norm(x W + x)``, as the exporter gives it."""
    x, weight = ir.Value(name="x"), ir.Value(name="val_3", const_value=ir.tensor([[1.0]], name="val_3"))
    product = node("MatMul", x, weight, result="linear", module="encoder.layers.0.ffn_in")
    total = node("Add", product.outputs[0], x, result="add", module="encoder.layers.0")
    norm = node("LayerNormalization", total.outputs[0], x, result="y", module="encoder.layers.0.ffn_norm")
    graph = ir.Graph(
        [x], [norm.outputs[0]], nodes=[product, total, norm], initializers=[weight], opset_imports={"": 20}, name="main"
    )
    return ir.Model(graph, ir_version=10)


def test_parts_are_named_as_in_pytorch(model: ir.Model) -> None:
    assert NameParts("encoder", {"layers.0.ffn_in"})(model).modified
    names = [n.name for n in model.graph]
    assert names == ["layers.0.ffn_in/MatMul", "layers.0/Add", "layers.0.ffn_norm/LayerNormalization"]
    assert [n.outputs[0].name for n in model.graph] == ["layers.0.ffn_in", "add", "y"], "an output keeps its name"
    assert list(model.graph.initializers) == ["layers.0.ffn_in.weight.T"]


def test_residual_sums_once(model: ir.Model) -> None:
    assert SumResiduals()(model).modified
    assert [n.op_type for n in model.graph] == ["MatMul", "Sum", "LayerNormalization"]
    assert not SumResiduals()(model).modified


def test_a_sum_that_another_reads_is_left(model: ir.Model) -> None:
    total = model.graph.node(1)
    model.graph.append(node("Relu", total.outputs[0], result="z"))
    assert not SumResiduals()(model).modified
    assert total.op_type == "Add"


def test_the_function_comes_with_the_plugins_attributes(model: ir.Model, tiny_encoder: Encoder) -> None:
    operator = operator_of(tiny_encoder, 20)
    assert operator is not None
    model.graph.append(node(operator.op_type, model.graph.inputs[0], result="heads", domain=OP_DOMAIN))
    AttachFunction(operator)(model)
    ((identifier, function),) = model.functions.items()
    assert identifier[:2] == (OP_DOMAIN, operator.op_type)
    assert all(value.name.startswith(f"{function.name}.") for value in function.inputs)
    assert model.opset_imports[OP_DOMAIN] == 1
    assert set(model.graph.node(-1).attributes) == {"plugin_namespace", "plugin_version", "aot"}
    assert not model.graph.node(0).attributes


def test_nothing_of_the_machine_is_left(model: ir.Model) -> None:
    model.graph.doc_string = model.doc_string = "/home/me"
    Sign()(model)
    assert model.producer_name == "lam-export"
    assert b"/home/me" not in ir.to_proto(model).SerializeToString()


def test_the_order(tiny_encoder: Encoder) -> None:
    def order(encoder_operator: bool, sums: bool) -> list[str]:
        operator = operator_of(tiny_encoder, 20) if encoder_operator else None
        return [type(p).__name__ for p in passes("encoder", (), operator, sum_residuals=sums).passes]

    assert order(True, True) == ["NameParts", "SumResiduals", "AttachFunction", "Sign"]
    assert order(False, False) == ["NameParts", "Sign"], "names are read from what the last one drops"
