"""The model a second time: float64 numpy, one text, token by token, entry by entry. Slow, and meant to be obvious.

Shares no code with ``lam_export`` and ``lam_plugins``; the tests of the reference compare it with this.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The model keeps its blend in float32.
BLEND = (float(np.float32(0.1)), float(np.float32(0.9)))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def convolution(x: Array, weight: Array, bias: Array) -> Array:
    """``x [n, channels]``, ``weight [channels, 4]``: output t is a sum over tokens t-2 .. t+1."""
    out = np.zeros_like(x)
    for t in range(len(x)):
        out[t] = bias
        for tap in range(4):
            if 0 <= t - 2 + tap < len(x):
                out[t] += weight[:, tap] * x[t - 2 + tap]
    return out


def unit(x: Array) -> Array:
    return x / max(math.sqrt(x @ x), 1e-12)


def chunk_rule(
    q: Array, k: Array, v: Array, beta: Array, fast_gate: Array, slow_gate: Array, blend: tuple[float, float]
) -> Array:
    """One head and chunk: ``q, k, v [C, D]``, the others ``[C]``; to ``[C, D]``."""
    size = len(q)
    q, k = np.array([unit(row) for row in q]), np.array([unit(row) for row in k])
    v = np.array([beta[t] * v[t] for t in range(size)])
    kb = np.array([beta[t] * k[t] for t in range(size)])
    a, t_matrix, p = np.zeros((size, size)), np.eye(size), np.zeros((size, size))
    for i in range(size):
        for j in range(i):
            a[i, j] = -(kb[i] @ k[j])
    for i in range(size):
        for j in range(i):
            t_matrix[i, j] = a[i, j] + a[i] @ a[j]
    for i in range(size):
        for j in range(i + 1):
            p[i, j] = q[i] @ k[j]
    u, out = t_matrix @ v, np.zeros_like(v)
    for i in range(size):
        out[i] = blend[0] * fast_gate[i] * (p[i] @ v) + blend[1] * slow_gate[i] * (p[i] @ u)
    return out


def fused_delta_rule(
    projected: Array,
    conv_weight: Array,
    conv_bias: Array,
    norm_weight: Array,
    chunk: int,
    blend: tuple[float, float] = BLEND,
) -> Array:
    """The flat mixer between its projections and ``o_proj``, for one text without padding.

    ``projected [n, W]`` with columns q, k, v, g (M each), beta, fast gate, slow gate (H each); to ``[n, M]``.
    """
    n, hidden, size = len(projected), len(conv_bias) // 3, len(norm_weight)
    heads = hidden // size
    q, k, v = (
        silu(
            convolution(
                projected[:, i * hidden : (i + 1) * hidden],
                conv_weight[i * hidden : (i + 1) * hidden],
                conv_bias[i * hidden : (i + 1) * hidden],
            )
        )
        for i in range(3)
    )
    g = projected[:, 3 * hidden : 4 * hidden]
    beta, fast_gate, slow_gate = (
        sigmoid(projected[:, 4 * hidden + i * heads : 4 * hidden + (i + 1) * heads]) for i in range(3)
    )
    out = np.zeros((n, hidden))
    for head in range(heads):
        mine = slice(head * size, (head + 1) * size)
        for start in range(0, n, chunk):
            now = slice(start, min(start + chunk, n))
            o = chunk_rule(
                q[now, mine],
                k[now, mine],
                v[now, mine],
                beta[now, head],
                fast_gate[now, head],
                slow_gate[now, head],
                blend,
            )
            for row, t in zip(o, range(start, n), strict=False):
                root = math.sqrt(row @ row / size + 1e-5)
                out[t, mine] = row / root * norm_weight * sigmoid(g[t, mine])
    return out


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    out = np.zeros_like(x)
    for t, row in enumerate(x):
        centred = row - row.mean()
        out[t] = centred / math.sqrt((centred**2).mean() + 1e-12) * weight + bias
    return out


def position_row(t: int, n: int, table: Array) -> Array:
    """What token t of n looks up: its own row, or, in a text longer than the table, between two rows."""
    if n <= len(table):
        return table[t]
    at = Fraction(t * (len(table) - 1), n - 1)
    lower = math.floor(at)
    if at == lower:
        return table[lower]
    return table[lower] + float(at - lower) * (table[lower + 1] - table[lower])


def flat_mixer(tensors: Mapping[str, Array], layer: str, x: Array, chunk: int) -> Array:
    """What stands between a layer's input ``[n, M]`` and ``o_proj``, in the flat form."""
    names = ("q", "k", "v", "g", "b", "fast_gate", "slow_gate")
    return fused_delta_rule(
        np.concatenate([x @ tensors[f"{layer}{name}_proj.weight"].T for name in names], axis=1),
        np.concatenate([tensors[f"{layer}{name}_conv1d.conv.weight"][:, 0] for name in "qkv"]),
        np.concatenate([tensors[f"{layer}{name}_conv1d.conv.bias"] for name in "qkv"]),
        tensors[f"{layer}o_norm.weight"],
        chunk,
    )


def token_embeddings(
    tensors: Mapping[str, Array],
    ids: list[int],
    chunk: int,
    gelu_passes: int = 2,
    mixer: Callable[[Mapping[str, Array], str, Array, int], Array] = flat_mixer,
) -> Array:
    """The last layer's output ``[n, M]``; tensors in canonical names."""
    word, table = tensors["embeddings.word_embeddings.weight"], tensors["embeddings.position_embeddings.weight"]
    kind = tensors["embeddings.token_type_embeddings.weight"][0]
    x = np.array([word[token] + kind + position_row(t, len(ids), table) for t, token in enumerate(ids)])
    x = layer_norm(x, tensors["embeddings.LayerNorm.weight"], tensors["embeddings.LayerNorm.bias"])
    i = 0
    while f"deltanet_layers.{i}.q_proj.weight" in tensors:
        layer = f"deltanet_layers.{i}."
        o = mixer(tensors, layer, x, chunk)
        mixed = o @ tensors[f"{layer}o_proj.weight"].T
        x = layer_norm(x + mixed, tensors[f"deltanet_norms.{i}.weight"], tensors[f"deltanet_norms.{i}.bias"])
        inner = x @ tensors[f"deltanet_ffns.{i}.dense.weight"].T + tensors[f"deltanet_ffns.{i}.dense.bias"]
        for _ in range(gelu_passes):
            inner = gelu(inner)
        outer = inner @ tensors[f"output_denses.{i}.weight"].T + tensors[f"output_denses.{i}.bias"]
        x = layer_norm(x + outer, tensors[f"ffn_norms.{i}.weight"], tensors[f"ffn_norms.{i}.bias"])
        i += 1
    return x


def sentence_embedding(tokens: Array) -> Array:
    """The mean of ``tokens [n, M]``, at unit length."""
    total = np.zeros(tokens.shape[1])
    for row in tokens:
        total += row
    return unit(total / len(tokens))
