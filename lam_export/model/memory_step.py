"""Form 4, the memory step: one layer of a checkpoint as a memory that stores and recalls single vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lam_plugins.dual_state_delta_rule.naive import Flux
from lam_plugins.fused_delta_rule.naive import CONV_KERNEL
from lam_plugins.memory_step.naive import Entry, State, recall, store

from .checkpoint import Checkpoint, CheckpointError
from .forms.packed import FLUX

_OWN_TAP = CONV_KERNEL // 2
"""The tap of the short convolution that sees the token itself. A text of one token uses no other tap."""


class Memory(nn.Module):
    """The reference of the memory step. It computes k, v and q as a layer's mixer does for a text of one token."""

    def __init__(self, checkpoint: Checkpoint, layer: int | None = None) -> None:
        """Build the memory from a checked checkpoint, in float32, on the CPU.

        Args:
            checkpoint: what :func:`load_checkpoint` read.
            layer: the layer whose weights are used, from 0; if left out, the last.

        Raises:
            CheckpointError: there is no such layer.
        """
        super().__init__()
        layers = checkpoint.config.num_hidden_layers
        self.layer = layers - 1 if layer is None else layer
        if not 0 <= self.layer < layers:
            raise CheckpointError(
                f"expected a layer of 0 to {layers - 1}, those of {checkpoint.weights}, found {layer}; name one of "
                f"them: --layer"
            )
        self.heads, self.head_size = checkpoint.config.num_attention_heads, checkpoint.config.head_size
        tensors = {name: tensor.float() for name, tensor in checkpoint.layer(self.layer).items()}
        self.q_proj, self.k_proj, self.v_proj = (_Projection(tensors, name) for name in "qkv")
        controls = ("b_proj", "fast_decay_proj", "slow_decay_proj")
        self.control_weight = nn.Parameter(torch.cat([tensors[f"{name}.weight"] for name in controls]))
        biases = [tensors[f"{name}_proj.bias"] + tensors[f"{name}_bias"] for name in ("fast_decay", "slow_decay")]
        self.decay_bias = nn.Parameter(torch.cat(biases))
        self.flux = nn.ParameterList(tensors[f"resonance_flux.{name}"].clone() for name in FLUX.values())
        self.eval().requires_grad_(False)

    def forward(
        self, key: Tensor, value: Tensor, query: Tensor, store_flag: Tensor, fast: Tensor, slow: Tensor, psi: Tensor
    ) -> tuple[Tensor, ...]:
        """Store a value in each flagged batch row, then recall from every row's state.

        Args:
            key: ``[B, M]``, the mixer's input that k, beta and the decays are computed from.
            value: ``[B, M]``, the mixer's input that v is computed from: the key again, or another vector that the
                key shall find.
            query: ``[B, Q, M]``, independent queries, answered after the store.
            store_flag: ``[B, 1]`` bool; false leaves the row's state unchanged.
            fast, slow: ``[B, H, D, D]``, the two states.
            psi: ``[B, H]``, the flux of the last store.

        Returns:
            ``recall [B, Q, M]``, the heads side by side; ``stored [B, M]``, the written value before beta, which a
            good recall comes near to; and the state after the store.
        """
        split = (self.heads, self.head_size)
        v = self.v_proj(value)
        beta, decays = F.linear(key, self.control_weight).split([self.heads, 2 * self.heads], dim=-1)
        fast_decay, slow_decay = (decays + self.decay_bias).sigmoid().chunk(2, dim=-1)
        entry = Entry(
            self.k_proj(key).unflatten(-1, split), v.unflatten(-1, split), beta.sigmoid(), fast_decay, slow_decay
        )
        past = State(fast, slow, psi)
        new = store(past, entry, Flux(*self.flux))
        fast, slow = (torch.where(store_flag[..., None, None], n, p) for n, p in zip(new[:2], past[:2], strict=True))
        state = State(fast, slow, torch.where(store_flag, new.psi, past.psi))
        return recall(state, self.q_proj(query).unflatten(-1, split)).flatten(2), v, *state

    def empty(self, batch: int) -> State:
        """The state of ``batch`` empty memories, in the module's dtype."""
        like = self.decay_bias
        fast, slow = (like.new_zeros(batch, self.heads, self.head_size, self.head_size) for _ in range(2))
        return State(fast, slow, like.new_zeros(batch, self.heads))


class _Projection(nn.Module):
    """``silu(conv(W x))`` of a single token."""

    def __init__(self, tensors: dict[str, Tensor], name: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(tensors[f"{name}_proj.weight"].clone())
        self.tap = nn.Parameter(tensors[f"{name}_conv1d.conv.weight"][:, 0, _OWN_TAP].clone())
        self.bias = nn.Parameter(tensors[f"{name}_conv1d.conv.bias"].clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(F.linear(x, self.weight) * self.tap + self.bias)
