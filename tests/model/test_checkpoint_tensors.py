"""Missing, unexpected, misshapen and unusable tensors are each refused by name."""

from pathlib import Path

import pytest
import tiny
import torch
from loading import refusal
from torch import Tensor

from lam_export.model.checkpoint import load_checkpoint

UNUSED = ("attention.self", "attention.output.dense", "pooler", "position_ids", "token_flux_proj", "o_norm.gate")
NEEDED = sorted(name for name in tiny.content("flat") if not any(part in name for part in UNUSED))


def canonical(name: str) -> str:
    """How messages call the tensor that a flat checkpoint calls ``name``."""
    name = name.removeprefix("teacher_model.")
    for ours, theirs in tiny.BERT_NAMES.items():
        for i in range(tiny.LAYERS):
            name = name.replace(theirs.format(i=i) + ".", ours.format(i=i) + ".")
    return name


def changed(folder: Path, **tensors: Tensor | None) -> Path:
    """A flat checkpoint with tensors replaced, added or (None) left out; ``__`` stands for a dot in their names."""
    held = tiny.content("flat")
    for name, tensor in tensors.items():
        held.pop(name.replace("__", "."), None)
        if tensor is not None:
            held[name.replace("__", ".")] = tensor
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_weights(folder, held)
    return folder


@pytest.mark.parametrize("name", NEEDED)
def test_every_missing_tensor_is_named(name: str, tmp_path: Path) -> None:
    message = refusal(changed(tmp_path, **{name: None}))
    assert message.startswith("missing tensor ")
    assert canonical(name) in message
    assert ("--teacher DIR" in message) != name.startswith("deltanet_layers.")


@pytest.mark.parametrize("name", NEEDED)
def test_every_misshapen_tensor_is_named(name: str, tmp_path: Path) -> None:
    shape = list(tiny.content("flat")[name].shape)
    for wrong in ([*shape, 1], [0] * len(shape), []):
        message = refusal(changed(tmp_path, **{name: torch.zeros(wrong)}))
        assert message.split(": ")[-1].startswith("misshapen tensor")
        assert canonical(name) in message
        assert f"found {wrong}" in message


@pytest.mark.parametrize("name", sorted(set(tiny.content("flat")) - set(NEEDED)))
def test_what_the_encoder_does_not_use_may_be_missing(name: str, tmp_path: Path) -> None:
    load_checkpoint(changed(tmp_path, **{name: None}))


def test_expected_and_found_shapes_are_said(tmp_path: Path) -> None:
    wrong = {"deltanet_layers.1.o_norm.weight": torch.ones(32), "deltanet_layers.0.q_proj.weight": torch.ones(32, 31)}
    message = refusal(changed(tmp_path, **wrong))
    assert "deltanet_layers.1.o_norm.weight (expected [16], found [32])" in message
    assert "deltanet_layers.0.q_proj.weight (expected [32, 32], found [32, 31])" in message
    flux = "deltanet_layers.0.resonance_flux.W_bilinear"
    message = refusal(changed(tmp_path, **{flux: torch.ones(3, 16, 16)}))
    assert f"{flux} (expected [2, 16, 16] or [16, 16], found [3, 16, 16])" in message


def test_heads_that_do_not_divide_the_hidden_size(tmp_path: Path) -> None:
    message = refusal(changed(tmp_path, deltanet_layers__0__b_proj__weight=torch.ones(3, 32)))
    assert "hidden size 32 is not a multiple of 3 heads" in message


@pytest.mark.parametrize(
    "name",
    [
        "classifier.weight",
        "embeddings.rotary",
        "teacher_model.embeddings.rotary",
        "teacher_model.encoder.layer.0.crossattention.weight",
        "teacher_model.encoder.layer.0.output.LayerNorm.gamma",
        "deltanet_layers.0.extra.weight",
        "deltanet_layers.x.q_proj.weight",
        "deltanet_layers.",
        "line\nbreak\x1b[31m",
    ],
)
def test_an_unexpected_tensor_is_named(name: str, tmp_path: Path) -> None:
    message = refusal(changed(tmp_path, **{name: torch.ones(2)}))
    assert message.startswith("unexpected tensor ")
    if name.isprintable():
        assert name.removeprefix("teacher_model.") in message


def test_a_layer_with_a_wild_index_costs_nothing(tmp_path: Path) -> None:
    message = refusal(changed(tmp_path, deltanet_layers__999999999999__q_proj__weight=torch.ones(32, 32)))
    assert message.startswith("missing tensors deltanet_layers.2.")


def test_a_gap_between_layers_is_reported_as_the_missing_layer(tmp_path: Path) -> None:
    held = {n.replace("layers.1.", "layers.2."): t for n, t in tiny.content("flat").items()}
    tiny.write_weights(tmp_path, held)
    assert "deltanet_layers.1." in refusal(tmp_path)


def test_layers_given_under_both_names(tmp_path: Path) -> None:
    held = tiny.content("flat")
    held |= {n.replace("deltanet", "lam"): t + 1 for n, t in held.items() if n.startswith("deltanet_layers.1.")}
    tiny.write_weights(tmp_path, held)
    assert "both deltanet_layers.* and lam_layers.*" in refusal(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_that_are_not_finite(value: float, dtype: torch.dtype, tmp_path: Path) -> None:
    name = "deltanet_layers.1.k_proj.weight"
    broken = tiny.lam_tensors()[name].to(dtype)
    broken[3, 5] = value
    assert f"NaN or infinite values in tensor {name}" in refusal(changed(tmp_path, **{name: broken}))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_tensors_that_are_not_floating_point(dtype: torch.dtype, tmp_path: Path) -> None:
    name = "deltanet_layers.0.v_proj.weight"
    message = refusal(changed(tmp_path, **{name: torch.ones(32, 32).to(dtype)}))
    assert f"expected dense floating-point tensors, found tensor {name} ({dtype}" in message


def test_8_bit_floating_point_is_read(tmp_path: Path) -> None:
    name = "deltanet_layers.0.v_proj.weight"
    narrow = tiny.lam_tensors()[name].to(torch.float8_e4m3fn)
    assert load_checkpoint(changed(tmp_path, **{name: narrow})).tensors[name].dtype == torch.float8_e4m3fn


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_tensors_without_plain_values(kind: str, tmp_path: Path) -> None:
    name = "deltanet_layers.0.v_proj.weight"
    odd = torch.eye(32).to_sparse() if kind == "sparse" else torch.ones(32, 32, device="meta")
    tiny.write_weights(tmp_path, tiny.content("flat") | {name: odd}, "pickle")
    message = refusal(tmp_path)
    assert name in message
    assert kind in message
