"""The comparison part by part: what it looks at, what counts, and what it says of sound graphs."""

import copy
from pathlib import Path

import numpy as np
import onnx
import planted
import pytest
import torch
from onnx import helper

from lam_export.anatomy.inner_values import STEPS, inner_values
from lam_export.evidence.metrics import row_errors
from lam_export.export.graphs import inlined
from lam_export.model.encoder import Encoder
from lam_export.validate.report.parts import part_errors
from lam_export.validate.report.schema import PartError
from lam_plugins.fused_delta_rule.naive import Steps

LAYER = [*(f"form.{step}" for step in ("in_proj", *STEPS)), "form", "o_proj", "mixer_norm"]
LAYER += ["ffn_in", "ffn_out", "ffn_norm"]
PARTS = ["embeddings.norm", *(f"layers.{i}.{part}" for i in range(planted.LAYERS) for part in LAYER)]
PARTS += ["sentence_embedding"]


def errors(model: onnx.ModelProto, precision: str = "fp32", batches: tuple | None = None) -> dict[str, PartError]:
    found = part_errors(model.SerializeToString(), planted.encoder(), batches or planted.batches(), precision)
    return {part.part: part for part in found}


@pytest.fixture(scope="module")
def sound() -> dict[str, PartError]:
    return errors(planted.graph("fp32"))


def test_the_parts_in_the_order_of_computation(sound: dict[str, PartError]) -> None:
    assert list(sound) == PARTS


def test_steps_are_the_operators_own() -> None:
    assert (*STEPS, "heads") == Steps._fields


@pytest.mark.heavy
@pytest.mark.parametrize(("precision", "own", "total"), [("fp32", 1e-6, 1e-5), ("fp16", 5e-4, 1e-2)])
def test_a_sound_graph_has_no_suspect(precision: str, own: float, total: float) -> None:
    found = errors(planted.graph(precision), precision)
    assert not [part for part in found.values() if part.suspect]
    assert max(part.own for part in found.values()) <= own
    assert max(part.total for part in found.values()) <= total
    assert min(part.own for part in found.values()) > 0


def test_a_sound_int8_graph_has_no_suspect(tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    single, quantised = tmp_path / "model.onnx", tmp_path / "model.int8.onnx"
    onnx.save(planted.graph("fp32"), single)
    quantize_dynamic(single, quantised, op_types_to_quantize=["MatMul"], per_channel=True)
    found = errors(onnx.load(quantised), "int8")
    assert list(found) == PARTS
    assert not [part for part in found.values() if part.suspect]
    assert found["layers.3.ffn_in"].own > 1e-3
    assert found["layers.3.ffn_norm"].own < 1e-6
    assert [part for part in errors(onnx.load(quantised), "fp16").values() if part.suspect]


def test_errors_add_up_and_own_errors_do_not() -> None:
    model = planted.graph("fp32")
    planted.conv_pads(model, 1, 2, layer=2)
    found = errors(model)
    where = PARTS.index("layers.2.form.convolved")
    assert max(found[part].total for part in PARTS[:where]) < 1e-5
    assert min(found[part].total for part in PARTS[where:]) > 1e-2
    assert [part for part in PARTS if found[part].own > 1e-5] == ["layers.2.form.convolved"]
    first = found["layers.2.form.convolved"]
    assert first.own == pytest.approx(first.total, rel=1e-3)


@pytest.mark.heavy
def test_the_last_total_is_the_error_of_the_embeddings() -> None:
    import onnxruntime

    model = planted.graph("fp16")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, dict(batch))[0] for batch in planted.batches()])
    rows = row_errors(found, np.concatenate(planted.embeddings())).relative_rms
    # Rows are of unit length. Other outputs hinder some of the runtime's fusions.
    assert errors(model, "fp16")["sentence_embedding"].total == pytest.approx(np.sqrt(np.mean(rows**2)), rel=0.05)


def test_padding_does_not_count(sound: dict[str, PartError]) -> None:
    padded = tuple({name: np.pad(a, ((0, 0), (0, 9))) for name, a in batch.items()} for batch in planted.batches())
    for part, error in errors(planted.graph("fp32"), batches=padded).items():
        assert error.own == pytest.approx(sound[part].own, rel=0.2)
        assert error.total == pytest.approx(sound[part].total, rel=0.5)


def test_poison_in_padding_does_not_count(sound: dict[str, PartError]) -> None:
    """Padded rows of one value are overwritten in the graph itself."""
    model = planted.graph("fp32")
    place = next(i for i, node in enumerate(model.graph.node) if "layers.1.ffn_in" in node.output)
    model.graph.node[place].output[0] = "unpoisoned"
    for tensor in (
        helper.make_tensor("poison", onnx.TensorProto.FLOAT, [], [1e4]),
        helper.make_tensor("last_axis", onnx.TensorProto.INT64, [1], [2]),
    ):
        model.graph.initializer.append(tensor)
    for node in (
        helper.make_node("Where", ["valid", "unpoisoned", "poison"], ["layers.1.ffn_in"]),
        helper.make_node("Unsqueeze", ["valid_rows", "last_axis"], ["valid"]),
        helper.make_node("Cast", ["attention_mask"], ["valid_rows"], to=onnx.TensorProto.BOOL),
    ):
        model.graph.node.insert(place + 1, node)
    for part, error in errors(model).items():
        assert error.own == pytest.approx(sound[part].own, rel=0.2)
        assert not error.suspect


def test_a_part_that_gives_nan_is_a_suspect_and_its_error_a_number() -> None:
    model = planted.graph("fp32")
    planted.not_a_number(model, 2)
    found = errors(model)
    assert [part.part for part in found.values() if part.suspect] == ["layers.2.ffn_in"]
    assert all(np.isfinite([part.own, part.total]).all() for part in found.values())
    assert found["layers.2.ffn_in"].own == found["sentence_embedding"].total == 1


def test_inlined_operators_show_no_steps(sound: dict[str, PartError]) -> None:
    found = errors(inlined(planted.graph("fp32")))
    assert list(found) == [part for part in PARTS if not part.endswith(STEPS)]
    assert not [part for part in found.values() if part.suspect]


def test_operators_without_named_steps() -> None:
    model = planted.graph("fp32")
    for node in model.functions[0].node:
        for names in (node.input, node.output):
            names[:] = [f"{name}_of_old" if name in STEPS else name for name in names]
    assert list(errors(model)) == [part for part in PARTS if not part.endswith(STEPS)]


def test_a_graph_of_other_names_has_no_parts() -> None:
    model = planted.graph("fp32")
    known = set(PARTS) - {"sentence_embedding"}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"foreign_{name}" if name in known else name for name in names]
    del model.graph.value_info[:]
    assert part_errors(model.SerializeToString(), planted.encoder(), planted.batches(), "fp32") == ()


def test_no_texts() -> None:
    assert part_errors(planted.graph("fp32").SerializeToString(), planted.encoder(), (), "fp32") == ()


def test_a_text_of_no_tokens(sound: dict[str, PartError]) -> None:
    nothing = {"input_ids": np.zeros((1, 4), np.int64), "attention_mask": np.zeros((1, 4), np.int64)}
    for part, error in errors(planted.graph("fp32"), batches=(*planted.batches(), nothing)).items():
        assert (error.own, error.total) == pytest.approx((sound[part].own, sound[part].total), rel=0.2)
    assert {part.own for part in errors(planted.graph("fp32"), batches=(nothing,)).values()} == {0}


def test_inner_values_are_the_encoders_own() -> None:
    encoder: Encoder = copy.deepcopy(planted.encoder()).double()
    batch = planted.batches()[1]
    seen: dict[str, torch.Tensor] = {}
    hook = encoder.layers[2].o_proj.register_forward_hook(lambda m, inputs, output: seen.update(o=output))
    names = {"layers.2.form.in_proj", "layers.2.form.mixed", "layers.2.form", "layers.2.o_proj"}
    values = inner_values(encoder, names, batch)
    hook.remove()
    np.testing.assert_array_equal(values["layers.2.o_proj"], seen["o"].numpy())
    np.testing.assert_array_equal(values["sentence_embedding"], planted.embeddings()[1])
    assert set(values) == names | {"sentence_embedding"}
    assert {value.dtype for value in values.values()} == {np.dtype(np.float64)}
    rms = np.sqrt(np.square(values["layers.2.form.mixed"]).mean(-1, keepdims=True) + 1e-5)
    form = encoder.layers[2].form
    hidden = encoder.config.hidden_size
    gate = torch.from_numpy(values["layers.2.form.in_proj"][..., 3 * hidden : 4 * hidden]).sigmoid().numpy()
    heads = (values["layers.2.form.mixed"] / rms * form.norm_weight.numpy()).reshape(gate.shape) * gate
    valid = batch["attention_mask"] == 1
    np.testing.assert_allclose(heads[valid], values["layers.2.form"][valid], rtol=1e-12)
    assert not any(module._forward_hooks for module in encoder.modules())
