"""The recurrent and the parallel form a second time: float64 numpy, one text, one head, token by token.

Shares no code with ``lam_export`` and ``lam_plugins``; written from the formulas, slow, and meant to be obvious.
"""

import math
from collections.abc import Mapping

import numpy as np
from by_hand import Array, convolution, sigmoid, silu, unit


def heads_of(tensors: Mapping[str, Array], layer: str) -> int:
    return len(tensors[f"{layer}b_proj.weight"])


def head_values(tensors: Mapping[str, Array], layer: str, x: Array, head: int) -> dict[str, Array]:
    """One head's q, k (unit rows), v' and kb ``[n, D]``, and its gates and decays ``[n]``, of one text ``[n, M]``."""
    n, hidden = x.shape
    size = hidden // heads_of(tensors, layer)
    mine = slice(head * size, (head + 1) * size)

    def convolved(name: str) -> Array:
        rows = x @ tensors[f"{layer}{name}_proj.weight"].T
        weight = tensors[f"{layer}{name}_conv1d.conv.weight"][:, 0]
        return silu(convolution(rows, weight, tensors[f"{layer}{name}_conv1d.conv.bias"]))[:, mine]

    def scalar(name: str, bias: float = 0.0) -> Array:
        return sigmoid(np.array([x[t] @ tensors[f"{layer}{name}_proj.weight"][head] + bias for t in range(n)]))

    def decay(name: str) -> Array:
        biases = tensors[f"{layer}{name}_proj.bias"][head], tensors[f"{layer}{name}_bias"][head]
        if all(np.float32(bias) == bias for bias in biases):  # the model keeps the sum of what it read in float32
            return scalar(name, float(np.float32(biases[0]) + np.float32(biases[1])))
        return scalar(name, sum(biases))

    q, k = (np.array([unit(row) for row in convolved(name)]) for name in "qk")
    beta = scalar("b")
    return {
        "q": q,
        "k": k,
        "v": np.array([beta[t] * row for t, row in enumerate(convolved("v"))]),
        "kb": np.array([beta[t] * row for t, row in enumerate(k)]),
        "fast_gate": scalar("fast_gate"),
        "slow_gate": scalar("slow_gate"),
        "fast_decay": decay("fast_decay"),
        "slow_decay": decay("slow_decay"),
    }


def flux(tensors: Mapping[str, Array], layer: str, head: int, k: Array, u: Array) -> float:
    """psi of one head, of the ``n`` tokens ``k, u [n, D]``."""
    name, n = f"{layer}resonance_flux.", len(k)
    weight, temperature = tensors[f"{name}W_bilinear"], tensors[f"{name}temp"][head]
    if weight.ndim == 3:
        s = sum((k[t] @ weight[head]) @ u[t] / temperature for t in range(n)) / n
    else:
        s = sum((k[t] @ weight) @ u[r] / temperature for t in range(n) for r in range(n)) / n**2
    features = np.concatenate([sum(k) / n, sum(u) / n, [s]])
    inner = silu(tensors[f"{name}flux_net.0.weight"] @ features + tensors[f"{name}flux_net.0.bias"])
    out = sigmoid(tensors[f"{name}flux_net.2.weight"] @ inner + tensors[f"{name}flux_net.2.bias"])
    return min(max(float(out[0]), 0.01), 0.99)


def unit_state(s: Array) -> Array:
    return s / (math.sqrt((s**2).sum()) + 1e-8)


def recurrent_heads(
    tensors: Mapping[str, Array],
    layer: str,
    x: Array,
    chunk: int,
    *,
    cross_coupling: bool = True,
    final_norm: bool = True,
    readout_norm: bool = True,
    surprise_threshold: float | None = None,
) -> tuple[Array, list[tuple[Array, Array]]]:
    """What the rule gives for one text, ``[n, heads, D]``, and each head's states after the last chunk."""
    n, hidden = x.shape
    heads = heads_of(tensors, layer)
    size = hidden // heads
    values = [head_values(tensors, layer, x, head) for head in range(heads)]
    out = np.zeros((n, heads, size))
    states = [(np.zeros((size, size)), np.zeros((size, size))) for _ in range(heads)]
    for start in range(0, n, chunk):
        now = slice(start, min(start + chunk, n))
        parts = [{name: value[now] for name, value in head.items()} for head in values]
        u_w = [solve(part["k"], part["kb"], part["v"]) for part in parts]
        psi = [flux(tensors, layer, h, parts[h]["k"], u_w[h][0]) for h in range(heads)]
        c = 0.05 + 0.1 * sum(psi) / heads
        for h, part in enumerate(parts):
            u, w = u_w[h]
            q, k = part["q"], part["k"]
            s_f = states[h][0] * part["fast_decay"].mean() * (1 - 0.1 * psi[h])
            s_s = states[h][1] * part["slow_decay"].mean() * (1 - 0.05 * psi[h])
            r_f, r_s = (unit_state(s_f), unit_state(s_s)) if readout_norm else (s_f, s_s)
            u_f, u_s = u - w @ r_f, u - w @ r_s
            a = 0.5 + 0.3 * psi[h]
            for t in range(len(q)):
                o_f, o_s = q[t] @ r_f, q[t] @ r_s
                for r in range(t + 1):
                    o_f = o_f + (q[t] @ k[r]) * u_f[r]
                    o_s = o_s + (q[t] @ k[r]) * u_s[r]
                out[start + t, h] = a * part["fast_gate"][t] * o_f + (1 - a) * part["slow_gate"][t] * o_s
            s_f = s_f + sum(np.outer(k[t], u_f[t]) for t in range(len(k)))
            if surprise_threshold is None or psi[h] > surprise_threshold:
                s_s = s_s + sum(np.outer(k[t], u_s[t]) for t in range(len(k)))
            if cross_coupling:
                s_f, s_s = s_f + c * psi[h] * s_s, s_s + c * (1 - psi[h]) * s_f
            if final_norm:
                s_f, s_s = unit_state(s_f), unit_state(s_s)
            states[h] = s_f, s_s
    return out, states


def solve(k: Array, kb: Array, v: Array) -> tuple[Array, Array]:
    """u and w of one head and chunk."""
    size = len(k)
    a, t = np.zeros((size, size)), np.eye(size)
    for i in range(size):
        for j in range(i):
            a[i, j] = -(kb[i] @ k[j])
    for i in range(size):
        for j in range(i):
            t[i, j] = a[i, j] + a[i] @ a[j]
    return t @ v, t @ kb


def parallel_heads(tensors: Mapping[str, Array], layer: str, x: Array) -> Array:
    """What the parallel form gives for one text, ``[n, heads, D]``."""
    n, hidden = x.shape
    heads = heads_of(tensors, layer)
    size = hidden // heads
    out = np.zeros((n, heads, size))
    weight = tensors[f"{layer}resonance_flux.W_bilinear"]
    for h in range(heads):
        values = head_values(tensors, layer, x, h)
        k_mod = values["kb"] @ (weight[h] if weight.ndim == 3 else weight)
        memories = []
        for name in ("fast", "slow"):
            m = np.zeros((size, size))
            for t in range(n):
                m += math.prod(values[f"{name}_decay"][t + 1 :]) * np.outer(k_mod[t], values["v"][t])
            memories.append(m)
        a = 0.5 + 0.3 * flux(tensors, layer, h, values["k"], values["v"])
        for t in range(n):
            o_f, o_s = (values["q"][t] @ m for m in memories)
            out[t, h] = a * values["fast_gate"][t] * o_f + (1 - a) * values["slow_gate"][t] * o_s
    return out


def gated(tensors: Mapping[str, Array], layer: str, x: Array, o: Array) -> Array:
    """``o [n, heads, D]``, normalised and gated, as ``[n, M]``."""
    gate = sigmoid(x @ tensors[f"{layer}g_proj.weight"].T)
    rows = [[head / math.sqrt(head @ head / len(head) + 1e-5) for head in token] for token in o]
    return (np.array(rows) * tensors[f"{layer}o_norm.weight"]).reshape(len(x), -1) * gate


def recurrent_mixer(tensors: Mapping[str, Array], layer: str, x: Array, chunk: int, **options: object) -> Array:
    """For ``by_hand.token_embeddings``; options as of :func:`recurrent_heads`."""
    return gated(tensors, layer, x, recurrent_heads(tensors, layer, x, chunk, **options)[0])


def parallel_mixer(tensors: Mapping[str, Array], layer: str, x: Array, chunk: int) -> Array:
    """For ``by_hand.token_embeddings``; there are no chunks."""
    return gated(tensors, layer, x, parallel_heads(tensors, layer, x))
