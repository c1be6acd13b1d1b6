"""The encoder in mixed precision: explicitly typed, with float32 where float16 would break it."""

import copy
from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lam_export.model.encoder import Encoder

from .graphs import ExportError
from .operators import fused_layers


def half_parts(encoder: Encoder) -> tuple[str, ...]:
    """The names of the modules that :func:`half_precision` turns to float16, in the order of computation."""
    inside = ("form.in_proj", *(["form"] if fused_layers(encoder) else []), "o_proj", "ffn_in", "ffn_out")
    return "embeddings.word", *(f"layers.{i}.{part}" for i in range(len(encoder.layers)) for part in inside)


def half_precision(encoder: Encoder, keep: Collection[str] = ()) -> Encoder:
    """A copy whose weight products and fused operator use float16. Everything else stays float32.

    In float16: the stored word embeddings, each layer's four products with their activations, and the operator's input
    and output. Runtimes accumulate the products in float32. Inside, the operator works in float32, because its
    unnormalised output exceeds 65,504 on ordinary text. It normalises before it rounds.

    In float32: the sum and interpolation of embeddings, the residual stream, all LayerNorms (their eps of 1e-12 is zero
    in float16), pooling (a sum over many tokens) and the final normalisation. The parallel form has no operator, so
    everything between its products is float32 too.

    Args:
        encoder: the float32 encoder; it is not changed.
        keep: names of :func:`half_parts` that stay float32.

    Raises:
        ExportError: ``keep`` has an unknown name.
    """
    parts = half_parts(encoder)
    if unknown := sorted(set(keep) - set(parts)):
        raise ExportError(f"expected parts like {', '.join(parts[1:6])} to keep in fp32, found {', '.join(unknown)}")

    def dtype(part: str) -> torch.dtype:
        return torch.float32 if part in keep else torch.float16

    half = copy.deepcopy(encoder)
    half.embeddings.word = nn.Parameter(half.embeddings.word.to(dtype("embeddings.word")), requires_grad=False)
    layers: Any = half.layers  # ModuleList does not know that its items are of type Layer
    for i, layer in enumerate(layers):
        form, name = layer.form, f"layers.{i}."
        inner = dtype(f"{name}form") if f"{name}form" in parts else torch.float32
        form.in_proj = TypedLinear(form.in_proj, dtype(f"{name}form.in_proj"), returns=inner)
        for parameter, value in list(form.named_parameters(recurse=False)):
            setattr(form, parameter, nn.Parameter(value.to(inner), requires_grad=False))
        for buffer, value in list(form.named_buffers(recurse=False)):
            setattr(form, buffer, value.to(inner))
        layer.o_proj = TypedLinear(layer.o_proj, dtype(f"{name}o_proj"), returns=torch.float32)
        layer.ffn_in = TypedLinear(layer.ffn_in, dtype(f"{name}ffn_in"), returns=dtype(f"{name}ffn_in"))
        layer.ffn_out = TypedLinear(layer.ffn_out, dtype(f"{name}ffn_out"), returns=torch.float32)
    return half


class TypedLinear(nn.Module):
    """A product in one dtype. Its input and output may have other dtypes."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, returns: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.to(dtype), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.to(dtype), requires_grad=False)
        self.returns = returns

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]`` of dtype ``returns``."""
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias).to(self.returns)
