"""The memory step a second time: float64 numpy, one memory, head by head.

Shares no code with ``lam_export`` and ``lam_plugins``; written from the formulas, slow, and meant to be obvious.
"""

from collections.abc import Mapping

import numpy as np
from by_hand import Array, convolution, sigmoid, silu, unit
from by_hand_forms import flux, heads_of, unit_state

States = list[tuple[Array, Array, float]]
"""Of each head: the fast and the slow state ``[D, D]``, and psi of the last store."""


def empty(tensors: Mapping[str, Array], layer: str) -> States:
    heads = heads_of(tensors, layer)
    size = len(tensors[f"{layer}q_proj.weight"]) // heads
    return [(np.zeros((size, size)), np.zeros((size, size)), 0.0) for _ in range(heads)]


def projected(tensors: Mapping[str, Array], layer: str, name: str, x: Array) -> Array:
    """``q``, ``k`` or ``v`` of a text of one token ``x [M]``, all heads side by side."""
    row = tensors[f"{layer}{name}_proj.weight"] @ x
    conv = f"{layer}{name}_conv1d.conv"
    return silu(convolution(row[None], tensors[f"{conv}.weight"][:, 0], tensors[f"{conv}.bias"]))[0]


def decay(tensors: Mapping[str, Array], name: str, key: Array) -> Array:
    # The model keeps the sum of what it read in float32.
    bias = tensors[f"{name}_proj.bias"].astype(np.float32) + tensors[f"{name}_bias"].astype(np.float32)
    return sigmoid(tensors[f"{name}_proj.weight"] @ key + bias)


def store(tensors: Mapping[str, Array], layer: str, states: States, key: Array, value: Array) -> States:
    heads = len(states)
    k, v = (projected(tensors, layer, name, x).reshape(heads, -1) for name, x in (("k", key), ("v", value)))
    beta = sigmoid(tensors[f"{layer}b_proj.weight"] @ key)
    d_f, d_s = (decay(tensors, f"{layer}{name}_decay", key) for name in ("fast", "slow"))
    k = np.array([unit(row) for row in k])
    u = np.array([beta[h] * v[h] for h in range(heads)])
    psi = [flux(tensors, layer, h, k[h : h + 1], u[h : h + 1]) for h in range(heads)]
    c = 0.05 + 0.1 * sum(psi) / heads
    after = []
    for h, (s_f, s_s, _) in enumerate(states):
        s_f = s_f * d_f[h] * (1 - 0.1 * psi[h]) + np.outer(k[h], u[h])
        s_s = s_s * d_s[h] * (1 - 0.05 * psi[h]) + np.outer(k[h], u[h])
        s_f = s_f + c * psi[h] * s_s
        s_s = s_s + c * (1 - psi[h]) * s_f
        after.append((s_f, s_s, psi[h]))
    return after


def recall(tensors: Mapping[str, Array], layer: str, states: States, query: Array) -> Array:
    """``[M]``."""
    q = projected(tensors, layer, "q", query).reshape(len(states), -1)
    answers = []
    for h, (s_f, s_s, psi) in enumerate(states):
        a = 0.5 + 0.3 * psi
        answers.append(a * unit(q[h]) @ unit_state(s_f) + (1 - a) * unit(q[h]) @ unit_state(s_s))
    return np.concatenate(answers)
