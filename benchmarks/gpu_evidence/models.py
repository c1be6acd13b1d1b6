"""LAM in float16 in PyTorch, its reference in float64, and how both are called."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_evidence import machine, weights
from lam_export.evidence.metrics import Thresholds
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder
from lam_export.model.forms.flat import Flat
from lam_plugins.fused_delta_rule import kernel, naive, torch_op

HALF = Thresholds(max_abs=5e-3, cosine=0.9995)
"""Here norms and residual sums are float16 too, as they are not in the graphs. On random embeddings, the worst of 256
texts of 32 tokens has a max-abs of 2.5e-3 (plain PyTorch, CPU), and 2.3e-4 on the demo's; their cosines miss 1 by less
than 2.1e-5."""

if machine.tiny:  # the operator on a CPU is Triton's interpreter, as on a GPU it is the kernel

    @torch_op.fused_delta_rule.register_kernel("cpu")
    def _(projected, lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size):
        arguments = (projected, lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size)
        supported = kernel.supports(projected, norm_weight.shape[0], chunk_size)
        return kernel.fused_delta_rule(*arguments) if supported else naive.fused_delta_rule(*arguments)


class HalfEncoder(nn.Module):
    """The encoder with its layers in float16. Embedding and pooling stay in float32: sums over a text pass float16."""

    def __init__(self, encoder: Encoder, *, plain: bool) -> None:
        """``plain``: the operator in plain PyTorch, which a compiler can look into; else the kernel."""
        super().__init__()
        encoder = copy.deepcopy(encoder)
        if plain:
            for layer in encoder.layers:
                layer.form = Plain(layer.form)
        self.embeddings = encoder.embeddings.to(machine.device)
        self.layers = encoder.layers.half().to(machine.device)
        self.requires_grad_(False)

    def forward(self, input_ids: Tensor) -> Tensor:
        """``[B, L]`` int64, texts of the full length, to ``[B, M]`` float32."""
        lengths = torch.full(input_ids.shape[:1], input_ids.shape[1], dtype=torch.int32, device=input_ids.device)
        x = self.embeddings(input_ids, lengths).half()
        for layer in self.layers:
            x = layer(x, lengths)
        return F.normalize(x.float().mean(1), dim=-1, eps=1e-12)


class Plain(nn.Module):
    """The flat form without the operator. The rule is computed in float32: its output passes float16."""

    def __init__(self, form: Flat) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        form: Any = self.form
        floats = (form.conv_weight, form.conv_bias, form.norm_weight, form.blend)
        projected = form.in_proj(x)
        heads = naive.fused_delta_rule(projected.float(), lengths, *(t.float() for t in floats), form.chunk_size)
        return heads.to(projected.dtype)


def encoder() -> Encoder:
    """The encoder in float32, on the CPU."""
    return Encoder(load_checkpoint(weights.checkpoint_folder()))


def reference(model: Encoder) -> Callable[[Tensor], Tensor]:
    """The same in float64 on the device: ``[B, L]`` to ``[B, M]``."""
    exact = copy.deepcopy(model).double().to(machine.device)
    return lambda ids: exact(ids, torch.ones_like(ids))[0]
