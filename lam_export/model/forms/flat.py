"""Form 1, flat ("Titans flat 1D"): no state crosses the chunks. The production form."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lam_export.model.config import ModelConfig
from lam_plugins.fused_delta_rule import torch_op  # noqa: F401  (registers torch.ops.lam.fused_delta_rule)

from .packed import Packed


class Flat(Packed):
    """One product for all projections, then the fused operator. This form does not use decays and flux."""

    rule = staticmethod(torch.ops.lam.fused_delta_rule)
    """The operator. A compiler sees into :func:`naive.fused_delta_rule` in its place."""

    def __init__(self, config: ModelConfig, layer: Mapping[str, Tensor], chunk_size: int) -> None:
        super().__init__(layer, decays=False)
        self.chunk_size = chunk_size
        self.register_buffer("blend", torch.tensor(config.blend))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``x [B, L, M]``, ``lengths [B]`` int32 to heads ``[B, L, M]``."""
        return self.rule(
            self.in_proj(x), lengths, self.conv_weight, self.conv_bias, self.norm_weight, self.blend, self.chunk_size
        )
