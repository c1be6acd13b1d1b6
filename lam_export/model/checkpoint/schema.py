"""The canonical tensors of a LAM checkpoint: their names and shapes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lam_export.model.config import ModelConfig

from .errors import CheckpointError

Shape = tuple[int, ...]

# Used only in training, or by no published form: checked if present, but not required.
_OPTIONAL = ("token_flux_proj.", "o_norm.gate")


def expected_shapes(config: ModelConfig) -> dict[str, tuple[Shape, ...]]:
    """The allowed shapes of every tensor that a checkpoint may hold, by the tensor's name."""
    hidden, ffn = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[Shape, ...]] = {
        "embeddings.word_embeddings.weight": ((config.vocab_size, hidden),),
        "embeddings.position_embeddings.weight": ((config.position_rows, hidden),),
        "embeddings.token_type_embeddings.weight": ((config.type_vocab_size, hidden),),
        "embeddings.LayerNorm.weight": ((hidden,),),
        "embeddings.LayerNorm.bias": ((hidden,),),
    }
    for i in range(config.num_hidden_layers):
        shapes |= {f"deltanet_layers.{i}.{name}": shape for name, shape in _mixer_shapes(config).items()}
        shapes |= {
            f"deltanet_norms.{i}.weight": ((hidden,),),
            f"deltanet_norms.{i}.bias": ((hidden,),),
            f"deltanet_ffns.{i}.dense.weight": ((ffn, hidden),),
            f"deltanet_ffns.{i}.dense.bias": ((ffn,),),
            f"output_denses.{i}.weight": ((hidden, ffn),),
            f"output_denses.{i}.bias": ((hidden,),),
            f"ffn_norms.{i}.weight": ((hidden,),),
            f"ffn_norms.{i}.bias": ((hidden,),),
        }
    return shapes


def _mixer_shapes(config: ModelConfig) -> dict[str, tuple[Shape, ...]]:
    hidden, heads, size = config.hidden_size, config.num_attention_heads, config.head_size
    shapes: dict[str, tuple[Shape, ...]] = {}
    for name in ("q", "k", "v", "o", "g"):
        shapes[f"{name}_proj.weight"] = ((hidden, hidden),)
    for name in ("b", "fast_gate", "slow_gate", "fast_decay", "slow_decay"):
        shapes[f"{name}_proj.weight"] = ((heads, hidden),)
    for name in ("fast_decay_proj.bias", "slow_decay_proj.bias", "fast_decay_bias", "slow_decay_bias"):
        shapes[name] = ((heads,),)
    for name in ("q", "k", "v"):
        shapes[f"{name}_conv1d.conv.weight"] = ((hidden, 1, 4),)
        shapes[f"{name}_conv1d.conv.bias"] = ((hidden,),)
    flux = "resonance_flux."
    return shapes | {
        "o_norm.weight": ((size,),),
        "o_norm.gate": ((size,),),
        f"{flux}W_bilinear": ((heads, size, size), (size, size)),
        f"{flux}temp": ((heads,),),
        f"{flux}flux_net.0.weight": ((size // 2, 2 * size + 1),),
        f"{flux}flux_net.0.bias": ((size // 2,),),
        f"{flux}flux_net.2.weight": ((1, size // 2),),
        f"{flux}flux_net.2.bias": ((1,),),
        f"{flux}token_flux_proj.0.weight": ((size // 2, 2 * size),),
        f"{flux}token_flux_proj.0.bias": ((size // 2,),),
        f"{flux}token_flux_proj.2.weight": ((1, size // 2),),
        f"{flux}token_flux_proj.2.bias": ((1,),),
    }


def check_tensors(tensors: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Refuse missing, unexpected and misshapen tensors, integers, and values that are not finite.

    Raises:
        CheckpointError: the message names every offending tensor, with the expected shape.
    """
    expected = expected_shapes(config)
    missing = [n for n in expected if n not in tensors and not any(part in n for part in _OPTIONAL)]
    unexpected = sorted(set(tensors) - set(expected))
    misshapen = [
        f"{n} (expected {' or '.join(str(list(s)) for s in expected[n])}, found {list(t.shape)})"
        for n, t in tensors.items()
        if n in expected and tuple(t.shape) not in expected[n]
    ]
    for problem, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)):
        if names:
            advice = teacher_advice(names) if problem == "missing" else ""
            raise CheckpointError(f"{problem} {_counted(names)}{advice}")
    foreign = [f"{n} ({_kind(t)})" for n, t in tensors.items() if not _is_plain(t)]
    if foreign:
        raise CheckpointError(f"expected dense floating-point tensors, found {_counted(foreign)}")
    # In float32 because isfinite() does not know every 8-bit type.
    infinite = [n for n, t in tensors.items() if not t.float().isfinite().all()]
    if infinite:
        raise CheckpointError(f"NaN or infinite values in {_counted(infinite)}: the checkpoint is damaged or diverged")


def _counted(names: list[str], shown: int = 6) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"tensor{'s' if len(names) > 1 else ''} {', '.join(names[:shown])}{more}"


def teacher_advice(missing: list[str]) -> str:
    """The remedy if missing tensors may come from a teacher; empty if only LAM's own tensors are missing."""
    if any(not n.startswith("deltanet_layers.") for n in missing):
        return "; if the teacher (a BERT) holds them, name its folder: --teacher DIR"
    return ""


def _is_plain(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout == torch.strided and tensor.device.type == "cpu"


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype}, {tensor.layout}, {tensor.device}"
