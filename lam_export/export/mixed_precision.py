"""The encoder as it is traced for half precision: explicitly typed, with float32 where half would break it."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lam_export.model.encoder import Encoder


def half_precision(encoder: Encoder) -> Encoder:
    """A copy whose products with weights and fused operator work on float16; everything else stays float32.

    In float16: the word embeddings (stored), each layer's four products with their activations, and the operator's
    input and output. The products accumulate in float32 on every runtime worth the name; the operator works in float32
    inside (its unnormalised output passes 65,504 on ordinary text) and normalises before it rounds.

    In float32: the sum and interpolation of embeddings, the residual stream, all LayerNorms (their eps of 1e-12 is zero
    in float16), pooling (a sum over many tokens) and the final normalisation.

    Args:
        encoder: in float32, of the flat form; it is not changed.
    """
    half = copy.deepcopy(encoder)
    half.embeddings.word = nn.Parameter(half.embeddings.word.half(), requires_grad=False)
    layers: Any = half.layers  # which ModuleList does not know to be of Layer
    for layer in layers:
        form = layer.form
        form.in_proj = HalfLinear(form.in_proj, returns=torch.float16)
        for name in ("conv_weight", "conv_bias", "norm_weight"):
            setattr(form, name, nn.Parameter(getattr(form, name).half(), requires_grad=False))
        form.blend = form.blend.half()
        layer.o_proj = HalfLinear(layer.o_proj, returns=torch.float32)
        layer.ffn_in = HalfLinear(layer.ffn_in, returns=torch.float16)
        layer.ffn_out = HalfLinear(layer.ffn_out, returns=torch.float32)
    return half


class HalfLinear(nn.Module):
    """A product in float16 whose input and output may be float32."""

    def __init__(self, linear: nn.Linear, returns: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.half(), requires_grad=False)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.half(), requires_grad=False)
        self.returns = returns

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]`` of dtype ``returns``."""
        return F.linear(x.half(), self.weight, self.bias).to(self.returns)
