"""Form 2, recurrent: the original loop over chunks, with a fast and a slow state that cross them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lam_export.model.config import ModelConfig
from lam_plugins.dual_state_delta_rule import Options, torch_op  # noqa: F401  (registers the operator)

from .packed import PackedWithFlux


class Recurrent(PackedWithFlux):
    """One product for all projections, then the dual-state operator."""

    def __init__(self, config: ModelConfig, layer: Mapping[str, Tensor], chunk_size: int) -> None:
        super().__init__(layer)
        self.chunk_size = chunk_size
        self.options = Options(
            cross_coupling=config.cross_coupling,
            final_norm=config.final_norm == "chunk",
            readout_norm=config.readout_norm,
            surprise_threshold=config.surprise_threshold,
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``x [B, L, M]``, ``lengths [B]`` int32 to heads ``[B, L, M]``."""
        return torch.ops.lam.dual_state_delta_rule(
            self.in_proj(x),
            lengths,
            self.conv_weight,
            self.conv_bias,
            self.norm_weight,
            self.decay_bias,
            *self.flux(),
            self.chunk_size,
            self.options.cross_coupling,
            self.options.final_norm,
            self.options.readout_norm,
            self.options.surprise_threshold,
        )
