"""Inputs of the fused delta rule with the scales of a trained model, and how near the oracle its faces must be."""

import by_hand
import numpy as np
import torch
from torch import Tensor

from lam_plugins.fused_delta_rule import naive

HEADS = 2
TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-3}
"""Of the kernel's :func:`relative_error`."""


class Case:
    """Inputs of the op for a batch of texts, float64, with the scales of a trained model."""

    def __init__(self, lengths: list[int], head_size: int = 16, heads: int = HEADS, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        hidden = heads * head_size
        width = 4 * hidden + 3 * heads
        width += -width % 64
        self.lengths = torch.tensor(lengths, dtype=torch.int32)
        self.projected = normal(len(lengths), max(lengths), width)
        self.conv_weight = 0.1 * normal(3 * hidden, 4)
        self.conv_weight[:, 2] += 1.0
        self.conv_bias = 0.2 * normal(3 * hidden)
        self.norm_weight = 0.9 + 0.05 * normal(head_size)
        self.blend = torch.tensor(by_hand.BLEND, dtype=torch.float64)

    def arguments(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        floats = (self.conv_weight, self.conv_bias, self.norm_weight, self.blend)
        return (self.projected.to(dtype), self.lengths, *(t.to(dtype) for t in floats))

    def run(self, chunk: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return naive.fused_delta_rule(*self.arguments(dtype), chunk)

    def by_hand(self, text: int, chunk: int) -> np.ndarray:
        return by_hand.fused_delta_rule(
            self.projected[text, : self.lengths[text]].numpy(),
            self.conv_weight.numpy(),
            self.conv_bias.numpy(),
            self.norm_weight.numpy(),
            chunk,
        )


def exactly(arguments: tuple[Tensor, ...], chunk: int) -> Tensor:
    """The oracle in float64, of the arguments as they are after rounding."""
    return naive.fused_delta_rule(*(t.double() if t.is_floating_point() else t for t in arguments), chunk)


def relative_error(found: Tensor, exact: Tensor) -> float:
    assert found.isfinite().all()  # NaN where nothing was written
    return float((found.double() - exact).norm() / exact.norm())


def columns(case: Case) -> tuple[slice, slice, slice, slice]:
    """q, k, v and beta in ``projected``."""
    hidden, heads = len(case.conv_bias) // 3, len(case.conv_bias) // 3 // len(case.norm_weight)
    q, k, v = (slice(i * hidden, (i + 1) * hidden) for i in range(3))
    return q, k, v, slice(4 * hidden, 4 * hidden + heads)
