"""The student of the distillation: its start from the teacher, what is trained, and its tensors' published names."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from lam_export.model.checkpoint import Checkpoint
from lam_export.model.encoder import Encoder, Layer
from lam_export.model.forms.packed import DECAYS, FLUX, PACKED, Packed
from lam_export.model.forms.recurrent import Recurrent

HEADS = 12  # of all-MiniLM-L6-v2; its tensors do not show them


def initial_student(teacher: Path, seed: int) -> dict[str, Tensor]:
    """The mixers of an untrained student; the rest of it is the teacher's.

    What the flat form has no use for gets constants: decays of 0.3 and 0.85 a token, and no flux.

    Args:
        teacher: folder of the BERT, with ``model.safetensors``.
        seed: of the random parts.

    Returns:
        ``deltanet_layers.*``, float32.
    """
    bert = load_file(teacher / "model.safetensors")
    generator = torch.Generator().manual_seed(seed)
    hidden = bert["embeddings.word_embeddings.weight"].shape[1]
    layers = 1 + max(int(name.split(".")[2]) for name in bert if name.startswith("encoder.layer."))
    tensors = {}
    for i in range(layers):
        attention, layer = f"encoder.layer.{i}.attention.", f"deltanet_layers.{i}."
        for name, source in (("q", "query"), ("k", "key"), ("v", "value")):
            tensors[f"{layer}{name}_proj.weight"] = bert[f"{attention}self.{source}.weight"]
            taps = 0.1 * (torch.rand(hidden, 1, 4, generator=generator) - 0.5)
            taps[:, :, 2] = 1
            tensors[f"{layer}{name}_conv1d.conv.weight"] = taps
            tensors[f"{layer}{name}_conv1d.conv.bias"] = bert[f"{attention}self.{source}.bias"]
        tensors[f"{layer}o_proj.weight"] = bert[f"{attention}output.dense.weight"]
        for name, rows in (("g", hidden), ("b", HEADS), ("fast_gate", HEADS), ("slow_gate", HEADS)):
            tensors[f"{layer}{name}_proj.weight"] = 0.01 * torch.randn(rows, hidden, generator=generator)
        tensors |= {layer + name: tensor for name, tensor in _unused_by_flat(hidden).items()}
        tensors[f"{layer}o_norm.weight"] = torch.ones(hidden // HEADS)
    return tensors


def _unused_by_flat(hidden: int) -> dict[str, Tensor]:
    size = hidden // HEADS
    tensors = {"o_norm.gate": torch.ones(size)}
    for name, decay in (("fast", 0.3), ("slow", 0.85)):
        tensors[f"{name}_decay_proj.weight"] = torch.zeros(HEADS, hidden)
        tensors[f"{name}_decay_proj.bias"] = torch.zeros(HEADS)
        tensors[f"{name}_decay_bias"] = torch.full((HEADS,), math.log(decay / (1 - decay)))
    tensors["resonance_flux.W_bilinear"] = torch.zeros(HEADS, size, size)
    tensors["resonance_flux.temp"] = torch.full((HEADS,), math.sqrt(size))
    for net, inputs in (("flux_net", 2 * size + 1), ("token_flux_proj", 2 * size)):
        tensors[f"resonance_flux.{net}.0.weight"] = torch.zeros(size // 2, inputs)
        tensors[f"resonance_flux.{net}.0.bias"] = torch.zeros(size // 2)
        tensors[f"resonance_flux.{net}.2.weight"] = torch.zeros(1, size // 2)
        tensors[f"resonance_flux.{net}.2.bias"] = torch.zeros(1)
    return tensors


def flat_groups(encoder: Encoder) -> list[dict[str, Any]]:
    """The optimiser's groups of a flat encoder: the mixers, then the feed-forward parts and norms."""
    encoder.layers.requires_grad_()
    mixers, others = [], []
    for name, parameter in encoder.layers.named_parameters():
        (mixers if ".form." in name or ".o_proj." in name else others).append(parameter)
    return [{"params": mixers, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.01}]


def state_groups(encoder: Encoder) -> list[dict[str, Any]]:
    """The optimiser's groups of a recurrent encoder: what moves the states, and nothing else.

    A flux whose weights are all zero has no gradient: its inner weights get random values, which leave psi as it is.
    """
    generator = torch.Generator().manual_seed(0)
    trained = []
    for layer in cast(list[Layer], list(encoder.layers)):
        form = cast(Recurrent, layer.form)
        heads = form.decay_bias.shape[0] // 2
        first = 4 * form.conv_bias.shape[0] // 3 + 3 * heads
        decays = torch.zeros_like(form.in_proj.weight)
        decays[first : first + 2 * heads] = 1
        form.in_proj.weight.requires_grad_().register_hook(decays.mul)
        if not form.flux_out_weight.any() and not form.flux_in_weight.any():
            form.flux_in_weight.normal_(0, 0.1, generator=generator)
            form.flux_weight.normal_(0, 0.1, generator=generator)
        trained += [form.in_proj.weight, form.decay_bias.requires_grad_()]
        trained += [parameter.requires_grad_() for parameter in form.flux()]
    return [{"params": trained, "weight_decay": 0.0}]


def student_tensors(encoder: Encoder, start: Checkpoint) -> dict[str, Tensor]:
    """An encoder's weights under their published names: the inverse of its packing.

    Args:
        encoder: flat or recurrent, built from ``start``, and trained since.
        start: gives what the encoder does not hold.

    Returns:
        Every tensor of the checkpoint but the embeddings, which are the teacher's.
    """
    tensors = {name: t for name, t in start.tensors.items() if not name.startswith("embeddings.")}
    for i, layer in enumerate(cast(list[Layer], list(encoder.layers))):
        mixer, form = f"deltanet_layers.{i}.", cast(Packed, layer.form)
        names = [*PACKED, *DECAYS] if isinstance(form, Recurrent) else list(PACKED)
        heights = [tensors[f"{mixer}{name}.weight"].shape[0] for name in names]
        rows = form.in_proj.weight[: sum(heights)].split(heights)  # below them is alignment
        tensors |= {f"{mixer}{name}.weight": row for name, row in zip(names, rows, strict=True)}
        if isinstance(form, Recurrent):
            for name, bias in zip(DECAYS, form.decay_bias.chunk(2), strict=True):
                tensors[f"{mixer}{name.removesuffix('_proj')}_bias"] = bias - tensors[f"{mixer}{name}.bias"]
            for parameter, name in FLUX.items():
                tensors[f"{mixer}resonance_flux.{name}"] = form.get_parameter(parameter)
        for name, weight, bias in zip("qkv", form.conv_weight.chunk(3), form.conv_bias.chunk(3), strict=True):
            tensors[f"{mixer}{name}_conv1d.conv.weight"] = weight[:, None]
            tensors[f"{mixer}{name}_conv1d.conv.bias"] = bias
        tensors[f"{mixer}o_norm.weight"] = form.norm_weight
        tensors[f"{mixer}o_proj.weight"] = layer.o_proj.weight
        for name, module in (
            (f"deltanet_norms.{i}", layer.mixer_norm),
            (f"deltanet_ffns.{i}.dense", layer.ffn_in),
            (f"output_denses.{i}", layer.ffn_out),
            (f"ffn_norms.{i}", layer.ffn_norm),
        ):
            tensors |= {f"{name}.{parameter}": value for parameter, value in module.named_parameters()}
    return {name: t.detach() for name, t in tensors.items()}


def save_student(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the tensors in fp16, to a temporary file beside ``path`` that then takes its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(save({name: t.half().contiguous() for name, t in tensors.items()}))
    temporary.replace(path)
