"""The memory step in plain PyTorch: the only oracle. Any dtype and device; the maths is in this folder's README."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lam_plugins.dual_state_delta_rule.naive import STATE_NORM_EPS, Flux, resonance_flux
from lam_plugins.fused_delta_rule.naive import L2_NORM_EPS


class State(NamedTuple):
    """Memories of one layer, one per batch row. All values are zero while nothing is stored."""

    fast: Tensor
    """``[B, H, D, D]``, keys to values; so is ``slow``."""
    slow: Tensor
    psi: Tensor
    """``[B, H]``, the flux of the last store. Recall weighs the two states by it."""


class Entry(NamedTuple):
    """The entries to store, one per batch row, as a layer's projections compute them."""

    k: Tensor
    """``[B, H, D]`` after its silu; so is ``v``."""
    v: Tensor
    beta: Tensor
    """``[B, H]`` after its sigmoid; so are the decays."""
    fast_decay: Tensor
    slow_decay: Tensor


def store(state: State, entry: Entry, flux: Flux) -> State:
    """Decay both states, add ``kᵀ u`` to each, and mix them.

    Args:
        state: the state before.
        entry: one entry for each batch row.
        flux: the layer's weights of psi.

    Returns:
        The state after the store; ``psi`` is within ``dual_state_delta_rule.naive.PSI_RANGE``.
    """
    k = F.normalize(entry.k, dim=-1, eps=L2_NORM_EPS)[..., None, :]  # [B, H, 1, D]
    u = (entry.beta[..., None] * entry.v)[..., None, :]
    psi = resonance_flux(k, u, k.new_ones(1, 1, 1), flux)  # [B, H, 1, 1]
    fast_decay, slow_decay = entry.fast_decay[..., None, None], entry.slow_decay[..., None, None]
    coupling = 0.05 + 0.1 * psi.mean(1, keepdim=True)  # over the heads of the same memory
    written = k.mT @ u
    fast = state.fast * fast_decay * (1 - 0.1 * psi) + written
    slow = state.slow * slow_decay * (1 - 0.05 * psi) + written
    fast = fast + coupling * psi * slow
    slow = slow + coupling * (1 - psi) * fast  # sees the new fast state, unlike the recurrent form
    return State(fast, slow, psi[..., 0, 0])


def recall(state: State, q: Tensor) -> Tensor:
    """Answer queries ``q [B, Q, H, D]``, after their silu. Answers have the same shape; an empty memory gives zero."""
    q = F.normalize(q, dim=-1, eps=L2_NORM_EPS).transpose(1, 2)  # [B, H, Q, D]
    alpha = (0.5 + 0.3 * state.psi)[..., None, None]
    o = alpha * (q @ _unit(state.fast)) + (1 - alpha) * (q @ _unit(state.slow))
    return o.transpose(1, 2)


def _unit(s: Tensor) -> Tensor:
    # A tensor, because onnxscript's optimizer treats the number 1e-8 as 0 and drops it from a graph.
    return s / (torch.linalg.matrix_norm(s, keepdim=True) + s.new_full((1,), STATE_NORM_EPS))
