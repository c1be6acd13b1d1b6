"""Form 1, flat ("Titans flat 1D"): no state crosses the chunks. The production form."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lam_export.model.config import ModelConfig
from lam_plugins.fused_delta_rule import torch_op  # noqa: F401  (registers torch.ops.lam.fused_delta_rule)

# In the order in which the op reads its columns.
PACKED = ("q_proj", "k_proj", "v_proj", "g_proj", "b_proj", "fast_gate_proj", "slow_gate_proj")
_ALIGNMENT = 64


class Flat(nn.Module):
    """One product for all projections, then the fused operator. Decays and flux play no part in this form."""

    def __init__(self, config: ModelConfig, layer: Mapping[str, Tensor], chunk_size: int) -> None:
        super().__init__()
        self.chunk_size = chunk_size
        packed = torch.cat([layer[f"{name}.weight"].float() for name in PACKED])
        packed = nn.functional.pad(packed, (0, 0, 0, -packed.shape[0] % _ALIGNMENT))
        self.in_proj = nn.Linear(packed.shape[1], packed.shape[0], bias=False)
        self.in_proj.weight = nn.Parameter(packed)
        conv = [f"{name}_conv1d.conv" for name in ("q", "k", "v")]
        self.conv_weight = nn.Parameter(torch.cat([layer[f"{c}.weight"].float() for c in conv]).squeeze(1))
        self.conv_bias = nn.Parameter(torch.cat([layer[f"{c}.bias"].float() for c in conv]))
        self.norm_weight = nn.Parameter(layer["o_norm.weight"].float().clone())
        self.register_buffer("blend", torch.tensor(config.blend))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``x [B, L, M]``, ``lengths [B]`` int32 to heads ``[B, L, M]``."""
        return torch.ops.lam.fused_delta_rule(
            self.in_proj(x), lengths, self.conv_weight, self.conv_bias, self.norm_weight, self.blend, self.chunk_size
        )
