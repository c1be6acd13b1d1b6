"""Inputs of the dual-state delta rule: a layer with the scales of a trained one, and texts for it."""

import by_hand_forms
import numpy as np
import torch
from torch import Tensor

from lam_plugins.dual_state_delta_rule import Options, naive

HEADS = 3
OPTIONS = {
    "published": Options(),
    "uncoupled": Options(cross_coupling=False),
    "unnormed": Options(final_norm=False),
    "raw readout": Options(readout_norm=False),
    "surprise": Options(surprise_threshold=0.75),
    "all removed": Options(False, False, False, 0.75),
}


def layer_tensors(head_size: int = 16, heads: int = HEADS, *, shared: bool = False, seed: int = 0) -> dict[str, Tensor]:
    """A mixer's tensors in a checkpoint's names, float64. Psi varies between heads and texts."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float, mean: float = 0.0) -> Tensor:
        return mean + std * torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden = heads * head_size
    tensors = {f"{name}_proj.weight": normal(hidden, hidden, std=hidden**-0.5) for name in "qkvg"}
    for name in ("b", "fast_gate", "slow_gate", "fast_decay", "slow_decay"):
        tensors[f"{name}_proj.weight"] = normal(heads, hidden, std=hidden**-0.5)
    for name, mean in {"fast": -1.2, "slow": 2.0}.items():
        tensors[f"{name}_decay_proj.bias"] = normal(heads, std=0.1)
        tensors[f"{name}_decay_bias"] = normal(heads, std=0.1, mean=mean)
    for name in "qkv":
        tensors[f"{name}_conv1d.conv.weight"] = normal(hidden, 1, 4, std=0.1)
        tensors[f"{name}_conv1d.conv.weight"][..., 2] += 1.0
        tensors[f"{name}_conv1d.conv.bias"] = normal(hidden, std=0.2)
    tensors["o_norm.weight"] = normal(head_size, std=0.05, mean=0.9)
    flux, inner = "resonance_flux.", head_size // 2
    tensors[f"{flux}W_bilinear"] = normal(*((head_size,) if shared else (heads, head_size)), head_size, std=0.5)
    tensors[f"{flux}temp"] = normal(heads, std=0.2, mean=head_size**0.5)
    tensors[f"{flux}flux_net.0.weight"] = normal(inner, 2 * head_size + 1, std=0.6)
    tensors[f"{flux}flux_net.0.bias"] = normal(inner, std=0.1)
    tensors[f"{flux}flux_net.2.weight"] = normal(1, inner, std=8.0 * inner**-0.5)
    tensors[f"{flux}flux_net.2.bias"] = normal(1, std=0.1)
    return tensors


class Case:
    """A batch of texts for one layer, float64."""

    def __init__(
        self, lengths: list[int], head_size: int = 16, heads: int = HEADS, *, shared: bool = False, seed: int = 0
    ) -> None:
        self.tensors = layer_tensors(head_size, heads, shared=shared)
        self.lengths = torch.tensor(lengths, dtype=torch.int32)
        generator = torch.Generator().manual_seed(seed)
        hidden = heads * head_size
        self.x = torch.randn(len(lengths), max(lengths), hidden, generator=generator, dtype=torch.float64)
        columns = ("q", "k", "v", "g", "b", "fast_gate", "slow_gate", "fast_decay", "slow_decay")
        packed = torch.cat([self.tensors[f"{name}_proj.weight"] for name in columns])
        packed = torch.nn.functional.pad(packed, (0, 0, 0, -packed.shape[0] % 64))
        self.used = 4 * hidden + 5 * heads
        self.projected = self.x @ packed.T

    def weights(self, dtype: torch.dtype = torch.float64) -> list[Tensor]:
        """What the operator takes besides ``projected`` and ``lengths``, in its order."""
        t = self.tensors
        floats = [
            torch.cat([t[f"{name}_conv1d.conv.weight"] for name in "qkv"]).squeeze(1),
            torch.cat([t[f"{name}_conv1d.conv.bias"] for name in "qkv"]),
            t["o_norm.weight"],
            torch.cat([t[f"{name}_decay_proj.bias"] + t[f"{name}_decay_bias"] for name in ("fast", "slow")]),
            *(t[f"resonance_flux.{name}"] for name in ("W_bilinear", "temp")),
            *(t[f"resonance_flux.flux_net.{i}.{part}"] for i in (0, 2) for part in ("weight", "bias")),
        ]
        return [f.to(dtype) for f in floats]

    def arguments(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        return (self.projected.to(dtype), self.lengths, *self.weights(dtype))

    def run(self, chunk: int = 32, options: Options = Options(), dtype: torch.dtype = torch.float64) -> Tensor:
        return oracle(self.arguments(dtype), chunk, options)

    def by_hand(self, text: int, chunk: int = 32, **options: object) -> np.ndarray:
        arrays = {name: t.numpy() for name, t in self.tensors.items()}
        x = self.x[text, : self.lengths[text]].numpy()
        return by_hand_forms.recurrent_mixer(arrays, "", x, chunk, **options)


def oracle(arguments: tuple[Tensor, ...], chunk: int, options: Options = Options()) -> Tensor:
    """``naive.dual_state_delta_rule`` of the operator's arguments."""
    return naive.dual_state_delta_rule(*arguments[:6], naive.Flux(*arguments[6:]), chunk, options)
