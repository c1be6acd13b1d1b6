"""Tactics from the engine inspector's JSON, in the shapes that TensorRT 10 and 11 document, and in none."""

import json
from typing import Any

import pytest

from lam_export.export.tensorrt.inspector import fused_tactics

NODES = ["layers.1.form/FusedDeltaRule_c128", "layers.11.form/FusedDeltaRule_c128"]
VARIANTS = {1: "rows16", 2: "rows32"}


def layer(name: str, **fields: Any) -> dict[str, Any]:
    tensor = {"Name": "x", "Dimensions": [-1, -1, 1600], "Format/Datatype": "Row major linear FP16 format"}
    return {"Name": name, "LayerType": "PluginV3", "Inputs": [tensor], "Outputs": [tensor], "StreamId": 0} | fields


def tactics(*layers: Any, **rest: Any) -> dict[str, str]:
    return fused_tactics(json.dumps({"Layers": layers, **rest}), NODES, VARIANTS)


def test_tensorrt_10() -> None:
    found = tactics(
        layer("layers.1.form.in_proj/MatMul", LayerType="gemm", TacticName="sm80_xmma_gemm_f16f16", Metadata=""),
        layer(NODES[0], TacticValue="0x0000000000000001", Metadata=f"[ONNX Layer: {NODES[0]}]"),
        layer(NODES[1], TacticValue="0x0000000000000002", Metadata=f"[ONNX Layer: {NODES[1]}]"),
        Bindings=["input_ids", "attention_mask", "sentence_embedding"],
    )
    assert found == {NODES[0]: "rows16", NODES[1]: "rows32"}


def test_tensorrt_11() -> None:
    inputs = {"Name": "input_ids", "IOMode": "Input", "DataType": "Int64", "Dimensions": [-1, -1], "ProfileInfo": []}
    found = tactics(layer(NODES[0], TacticValue="0x0000000000000002"), **{"I/O Tensors": [inputs]})
    assert found == {NODES[0]: "rows32"}


def test_by_what_it_was_made_from() -> None:
    found = tactics(
        layer("__myl_plugin_7", Metadata=f"[ONNX Layer: {NODES[1]}]\x1e[ONNX Layer: other]", TacticValue="0x1")
    )
    assert found == {NODES[1]: "rows16"}


def test_profiles_that_agree_and_that_do_not() -> None:
    same = tactics(layer(NODES[0], TacticValue="0x1"), layer(f"{NODES[0]} [profile 1]", TacticValue="0x1"))
    assert same == {NODES[0]: "rows16"}
    other = tactics(layer(NODES[0], TacticValue="0x2"), layer(f"{NODES[0]} [profile 1]", TacticValue="0x1"))
    assert other == {NODES[0]: "rows32 [profile 0], rows16 [profile 1]"}


def test_a_tactic_of_no_known_number_stays_as_it_is() -> None:
    assert tactics(layer(NODES[0], TacticValue="0x9")) == {NODES[0]: "0x9"}
    assert tactics(layer(NODES[0], TacticName="a_kernel")) == {NODES[0]: "a_kernel"}


def test_layers_beside_the_node_are_not_it() -> None:
    copies = layer(f"Reformatting CopyNode for Input Tensor 0 to {NODES[0]}", LayerType="Reformat", TacticValue="0x1")
    cast = layer("cast", LayerType="Cast", Metadata=f"[ONNX Layer: {NODES[0]}]", TacticValue="0x1")
    assert tactics(copies, cast, layer(NODES[1]), layer(NODES[0], TacticValue=None)) == {}


@pytest.mark.parametrize("content", ["", "{", "null", "[]", "3", '{"Layers": 3}', '{"Layers": ["a", null, {}]}', "{}"])
def test_what_cannot_be_read_gives_nothing(content: str) -> None:
    assert fused_tactics(content, NODES, VARIANTS) == {}
