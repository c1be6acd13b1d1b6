"""Base classes of the forms' modules. They hold the tensors that every form reads."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

# In the order in which the operators read the columns. The decays follow in the forms that use them.
PACKED = ("q_proj", "k_proj", "v_proj", "g_proj", "b_proj", "fast_gate_proj", "slow_gate_proj")
DECAYS = ("fast_decay_proj", "slow_decay_proj")
FLUX = {
    "flux_weight": "W_bilinear",
    "flux_temperature": "temp",
    "flux_in_weight": "flux_net.0.weight",
    "flux_in_bias": "flux_net.0.bias",
    "flux_out_weight": "flux_net.2.weight",
    "flux_out_bias": "flux_net.2.bias",
}
_ALIGNMENT = 64


class Packed(nn.Module):
    """One product for all projections, the short convolution, and the scale of the heads' norm."""

    def __init__(self, layer: Mapping[str, Tensor], *, decays: bool) -> None:
        super().__init__()
        names = [*PACKED, *(DECAYS if decays else ())]
        packed = torch.cat([layer[f"{name}.weight"].float() for name in names])
        packed = nn.functional.pad(packed, (0, 0, 0, -packed.shape[0] % _ALIGNMENT))
        self.in_proj = nn.Linear(packed.shape[1], packed.shape[0], bias=False)
        self.in_proj.weight = nn.Parameter(packed)
        conv = [f"{name}_conv1d.conv" for name in ("q", "k", "v")]
        self.conv_weight = nn.Parameter(torch.cat([layer[f"{c}.weight"].float() for c in conv]).squeeze(1))
        self.conv_bias = nn.Parameter(torch.cat([layer[f"{c}.bias"].float() for c in conv]))
        self.norm_weight = nn.Parameter(layer["o_norm.weight"].float().clone())


class PackedWithFlux(Packed):
    """:class:`Packed` with the decays' biases, ``[2H]``, and the weights of the resonance flux."""

    def __init__(self, layer: Mapping[str, Tensor]) -> None:
        super().__init__(layer, decays=True)
        biases = [
            layer[f"{name}.bias"].float() + layer[f"{name.removesuffix('_proj')}_bias"].float() for name in DECAYS
        ]
        self.decay_bias = nn.Parameter(torch.cat(biases))
        for parameter, name in FLUX.items():
            self.register_parameter(parameter, nn.Parameter(layer[f"resonance_flux.{name}"].float().clone()))

    def flux(self) -> tuple[Tensor, ...]:
        """The flux's weights in the order of ``dual_state_delta_rule.naive.Flux``."""
        return tuple(self.get_parameter(name) for name in FLUX)
