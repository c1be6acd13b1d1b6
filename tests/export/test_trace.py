"""The exported graph: its structure, its names, and what must not be in it."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from lam_export.export.graphs import ExportError, check_fused_nodes, inlined, write_graphs
from lam_export.export.mixed_precision import half_precision
from lam_export.export.opsets import DEFAULT_OPSET, OPSETS
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.encoder import Encoder
from lam_plugins.fused_delta_rule import OP_DOMAIN, PLUGIN_NAMESPACE


@pytest.fixture(scope="module")
def model(tiny_encoder: Encoder) -> onnx.ModelProto:
    return onnx_from_encoder(tiny_encoder, token_embeddings=True)


def test_one_function_backed_node_per_layer(model: onnx.ModelProto, tiny_encoder: Encoder) -> None:
    nodes = [node for node in model.graph.node if node.domain == OP_DOMAIN]
    assert [node.op_type for node in nodes] == ["FusedDeltaRule_c128"] * len(tiny_encoder.layers)
    assert [node.name for node in nodes] == [f"layers.{i}.form/FusedDeltaRule_c128" for i in range(len(nodes))]
    (function,) = model.functions
    assert (function.domain, function.name) == (OP_DOMAIN, "FusedDeltaRule_c128")
    for node in nodes:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes == {"plugin_namespace": PLUGIN_NAMESPACE.encode(), "plugin_version": b"1", "aot": 1}
        assert len(node.input) == len(function.input) == 6


@pytest.mark.heavy
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("opset", [18, DEFAULT_OPSET])
def test_parts_are_named_as_in_pytorch(precision: str, opset: int, tiny_encoder: Encoder) -> None:
    encoder = half_precision(tiny_encoder) if precision == "fp16" else tiny_encoder
    model = onnx_from_encoder(encoder, opset=opset)
    parts = [
        name
        for name, module in encoder.named_modules()
        if "." in name and not isinstance(module, (torch.nn.ModuleList, type(encoder.layers[0])))
    ]
    results = {value for node in model.graph.node for value in node.output}
    assert len(parts) == 7 * len(encoder.layers) + 1
    assert set(parts) <= results
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    matrices = {i.name for i in model.graph.initializer if len(i.dims) == 2 and min(i.dims) > 4}
    tables = {name for name in matrices if not name.endswith(".weight.T")}
    assert len(matrices - tables) == 4 * len(encoder.layers)
    assert len(tables) == 2, "word embeddings, and positions with types"


def test_names_are_unique_across_the_functions_border(model: onnx.ModelProto) -> None:
    outside = {name for node in model.graph.node for name in (*node.input, *node.output)}
    assert not outside & set(model.functions[0].input)


def test_only_the_domains_it_says(model: onnx.ModelProto) -> None:
    assert {o.domain: o.version for o in model.opset_import} == {"": DEFAULT_OPSET, OP_DOMAIN: 1}
    assert {node.domain for node in model.graph.node} == {"", OP_DOMAIN}
    assert {node.domain for node in model.functions[0].node} == {""}
    kinds = {node.op_type for node in (*model.graph.node, *model.functions[0].node)}
    assert not kinds & {"If", "Loop", "Scan", "SequenceAt"}
    wide = [v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE]
    assert not wide, "TensorRT has no float64"


def test_inputs_and_outputs(model: onnx.ModelProto) -> None:
    def describe(values: object) -> dict[str, list[object]]:
        return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    rows = {"input_ids": ["batch", "tokens"], "attention_mask": ["batch", "tokens"]}
    assert describe(model.graph.input) == rows, "an input with a default value troubles other people's tools"
    assert "window" in {v.name for v in model.graph.initializer}
    assert describe(model.graph.output) == {
        "sentence_embedding": ["batch", 32],
        "token_embeddings": ["batch", "tokens", 32],
    }


def test_nothing_of_this_machine_in_the_file(model: onnx.ModelProto) -> None:
    content = model.SerializeToString()
    assert str(Path(__file__).parents[2]).encode() not in content
    assert b"stack_trace" not in content
    assert b".py" not in content


def test_the_exporter_says_nothing(tiny_encoder: Encoder, capfd: pytest.CaptureFixture[str]) -> None:
    onnx_from_encoder(tiny_encoder)
    assert capfd.readouterr() == ("", "")


def test_a_plain_session_loads_it_without_a_word(tiny_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnxruntime.InferenceSession(tiny_bundle / "model.onnx", providers=["CPUExecutionProvider"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.heavy
@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_equals_the_reference(tiny_encoder: Encoder, opset: int, tmp_path: Path) -> None:
    model = onnx_from_encoder(tiny_encoder, opset=opset)
    models = {"model.onnx": model, "model.inlined.onnx": inlined(model)}
    graphs = write_graphs(models, tmp_path, layers=len(tiny_encoder.layers))
    ids = torch.randint(5, 100, (3, 40), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(40) < torch.tensor([[40], [1], [17]])).long()
    with torch.inference_mode():
        expected = tiny_encoder(ids, mask)[0].numpy()
    for name, graph in graphs.items():
        assert graph.opset == opset
        session = onnxruntime.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        assert np.abs(found - expected).max() <= 2e-6


@pytest.mark.heavy
def test_a_long_text_finds_its_positions(tiny_encoder: Encoder) -> None:
    """100,000 tokens spread over 16 rows: float32 could not hold the products of positions that decide the rows."""
    model = onnx_from_encoder(tiny_encoder, token_embeddings=True)
    ids = torch.randint(5, 100, (1, 100_000), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        expected = tiny_encoder(ids, mask)[1].numpy()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["token_embeddings"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    # Single tokens among so many are ill-conditioned, in PyTorch's float32 as well: 5e-4.
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) <= 1e-5
    assert np.abs(found - expected).max() <= 2e-3
    integers = {"Div", "Mod", "Mul", "Sub", "Where"}
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    start = [n.op_type for n in model.graph.node if any(kinds.get(o) == onnx.TensorProto.INT64 for o in n.output)]
    assert integers <= set(start), "positions are computed in integers"


def test_the_inlined_graph_knows_no_functions(model: onnx.ModelProto, tmp_path: Path) -> None:
    graphs = write_graphs({"model.inlined.onnx": inlined(model)}, tmp_path, layers=2)
    assert graphs["model.inlined.onnx"].inlined
    written = onnx.load(tmp_path / "model.inlined.onnx")
    assert not written.functions
    assert {node.domain for node in written.graph.node} == {""}


def test_a_lost_function_is_noticed(model: onnx.ModelProto) -> None:
    with pytest.raises(ExportError, match="expected 2 nodes"):
        check_fused_nodes(inlined(model), 2)
    bodyless = onnx.ModelProto.FromString(model.SerializeToString())
    del bodyless.functions[:]
    with pytest.raises(ExportError, match="expected 2 nodes"):
        check_fused_nodes(bodyless, 2)
