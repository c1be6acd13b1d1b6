"""Form 2, recurrent: the original loop over chunks, with a fast and a slow state that cross them."""

from collections.abc import Mapping
from typing import Any

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
        return torch.ops.lam.dual_state_delta_rule(self.in_proj(x), lengths, *self._weights_and_options())

    def stream(self, x: Tensor, own: Tensor, context: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Continue a text from the beginning of a chunk.

        Args:
            x: ``[B, L, M]``, without padding.
            own: ``[B]`` int32, the number of own rows: whole chunks, or all rows. The rows after them are look-ahead.
            context: ``[B, 2, 3M]``, the convolution's inputs of the two previous rows; zeros at a text's beginning.
            state: ``[B, H, 2, D, D]``, the state before the first row; zeros at a text's beginning.

        Returns:
            The heads ``[B, L, M]``, and the context and the state after the own rows.
        """
        projected = self.in_proj(x)
        lengths = torch.full_like(own, x.shape[1])
        heads, after = torch.ops.lam.dual_state_delta_rule_stream(
            projected, lengths, own, context, state, *self._weights_and_options()
        )
        seen = torch.cat([context, projected[..., : context.shape[2]]], dim=1)
        last = (own[:, None] + torch.arange(2, device=own.device))[..., None].long()
        return heads, seen.gather(1, last.expand(-1, -1, seen.shape[2])), after

    def _weights_and_options(self) -> tuple[Any, ...]:
        return (
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
