"""Form 3, parallel aggregation: the whole text is one memory, which every token reads. Not causal, no chunks."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lam_export.model.config import ModelConfig
from lam_plugins.dual_state_delta_rule.naive import Flux, resonance_flux
from lam_plugins.fused_delta_rule.naive import L2_NORM_EPS, convolve, gated_norm, valid_rows

from .packed import PackedWithFlux


class Parallel(PackedWithFlux):
    """Plain PyTorch: a few products over the whole text. Every runtime computes them well, so there is no operator.

    The method allows static knowledge kernels in the memories. They are zero here: no checkpoint layout has any.
    """

    def __init__(self, config: ModelConfig, layer: Mapping[str, Tensor], chunk_size: None) -> None:
        super().__init__(layer)
        self.heads = config.num_attention_heads

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``x [B, L, M]``, ``lengths [B]`` int32 to heads ``[B, L, M]``."""
        hidden, heads = x.shape[2], self.heads
        valid = valid_rows(lengths, x.shape[1])
        projected = torch.where(valid, self.in_proj(x), 0)
        qkv, g, gates, decays, _ = projected.split(
            [3 * hidden, hidden, 3 * heads, 2 * heads, projected.shape[2] - 4 * hidden - 5 * heads], dim=2
        )
        qkv = torch.where(valid, convolve(qkv, self.conv_weight, self.conv_bias), 0)
        q, k, v = qkv.unflatten(2, (3 * heads, hidden // heads)).transpose(1, 2).chunk(3, dim=1)  # [B, H, L, D]
        beta, fast_gate, slow_gate = gates.sigmoid().mT[..., None].chunk(3, dim=1)  # [B, H, L, 1]
        log_decay = torch.where(valid, F.logsigmoid(decays + self.decay_bias), 0).mT  # [B, 2H, L]

        q = F.normalize(q, dim=-1, eps=L2_NORM_EPS)
        k = F.normalize(k, dim=-1, eps=L2_NORM_EPS)
        v, kb = beta * v, beta * k
        flux = Flux(*self.flux())
        k_mod = kb @ flux.weight
        to_end = decay_to_the_end(log_decay)[..., None]
        fast, slow = ((k_mod * weight).mT @ v for weight in to_end.chunk(2, dim=1))  # [B, H, D, D]
        psi = resonance_flux(k, v, lengths[:, None, None, None], flux)
        alpha = 0.5 + 0.3 * psi
        o = alpha * fast_gate * (q @ fast) + (1 - alpha) * slow_gate * (q @ slow)
        return torch.where(valid, gated_norm(o.transpose(1, 2), g, self.norm_weight), 0)


def decay_to_the_end(log_decay: Tensor) -> Tensor:
    """The part of each token that is left at the end: the product of the decays of all later tokens.

    It is computed as a sum of logarithms from the end. So no product underflows, and the last tokens, which count most,
    are exact in texts of any length.

    Args:
        log_decay: ``[..., L]``, at most 0; 0 in padded rows.
    """
    from_here = log_decay.flip(-1).cumsum(-1).flip(-1)
    return (from_here - log_decay).exp()
