"""The fused delta rule in plain PyTorch: the only oracle for its other faces."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

L2_NORM_EPS = 1e-12
RMS_NORM_EPS = 1e-5
CONV_KERNEL = 4


class Steps(NamedTuple):
    """What the operator computes, step by step; ``onnx_function.py`` has values of the same names."""

    convolved: Tensor
    """``[B, L, 3M]``: q, k and v after convolution and silu."""
    mixed: Tensor
    """``[B, L, H, D]``: what the rule gives, before normalisation."""
    heads: Tensor
    """``[B, L, M]``: the operator's result."""


def fused_delta_rule(
    projected: Tensor,
    lengths: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    blend: Tensor,
    chunk_size: int,
) -> Tensor:
    """Everything in a flat mixer between its input projection and ``o_proj``.

    The head count H and head size D follow from the shapes: ``D = len(norm_weight)``, ``M = len(conv_bias) / 3``,
    ``H = M / D``. Runs in the dtype of its inputs, on their device. The maths is in this folder's README.

    Args:
        projected: ``[B, L, W]``, columns ``q | k | v | g`` (M each), then ``beta | fast_gate | slow_gate`` (H each,
            before their sigmoids); columns past ``4M + 3H`` are alignment and are not read.
        lengths: ``[B]`` int32, the number of true tokens of each text, 0..L. Rows at and beyond it are not read.
        conv_weight: ``[3M, 4]``, depthwise taps of q, k and v; output t sees tokens t-2 .. t+1.
        conv_bias: ``[3M]``.
        norm_weight: ``[D]``, the scale of the heads' RMSNorm.
        blend: ``[2]``, the weights of the fast and the slow path (0.1 and 0.9 in published checkpoints).
        chunk_size: tokens in a chunk; chunks start at token 0 and nothing crosses them.

    Returns:
        ``[B, L, M]``: the gated, normalised heads, concatenated; zero at and beyond a text's length.
    """
    return steps(projected, lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size).heads


def steps(
    projected: Tensor,
    lengths: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    blend: Tensor,
    chunk_size: int,
) -> Steps:
    """:func:`fused_delta_rule` and what it computes on the way. Only ``heads`` means anything in padded rows."""
    tokens = projected.shape[1]
    hidden = conv_bias.shape[0] // 3
    head_size = norm_weight.shape[0]
    heads = hidden // head_size
    valid = valid_rows(lengths, tokens)
    projected = torch.where(valid, projected, 0)
    convolved = convolve(projected[..., : 3 * hidden], conv_weight, conv_bias)
    q, k, v = convolved.unflatten(-1, (3 * heads, head_size)).chunk(3, dim=2)
    gates = projected[..., 4 * hidden : 4 * hidden + 3 * heads].sigmoid()[..., None]  # [B, L, 3H, 1]
    beta, fast_gate, slow_gate = gates.chunk(3, dim=2)

    chunk = min(chunk_size, tokens)
    q, k, v, beta, fast_gate, slow_gate = (to_chunks(x, chunk) for x in (q, k, v, beta, fast_gate, slow_gate))
    mixed = from_chunks(flat_rule(q, k, v, beta, fast_gate, slow_gate, blend), tokens)
    o = gated_norm(mixed, projected[..., 3 * hidden : 4 * hidden], norm_weight)
    return Steps(convolved, mixed, torch.where(valid, o, 0))


def valid_rows(lengths: Tensor, tokens: int) -> Tensor:
    """``[B]`` to ``[B, L, 1]``: true for a text's own tokens, false for its padding."""
    return (torch.arange(tokens, device=lengths.device) < lengths[:, None])[..., None]


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The short convolution and silu: ``[B, L, channels]``, zero in padded rows, to the same shape.

    Args:
        x: the projections.
        weight: ``[channels, 4]``; output t sees tokens t-2 .. t+1.
        bias: ``[channels]``.
    """
    tokens = x.shape[1]
    # Four shifted products rather than conv1d, which takes seconds for many channels in float64.
    seen = F.pad(x, (0, 0, CONV_KERNEL // 2, CONV_KERNEL // 2 - 1))
    return F.silu(bias + sum(seen[:, tap : tap + tokens] * weight[:, tap] for tap in range(CONV_KERNEL)))


def gated_norm(mixed: Tensor, g: Tensor, norm_weight: Tensor) -> Tensor:
    """RMSNorm of each head, and its gate: ``mixed [B, L, H, D]``, ``g [B, L, M]`` before sigmoid, to ``[B, L, M]``."""
    o = mixed * torch.rsqrt(mixed.square().mean(-1, keepdim=True) + RMS_NORM_EPS) * norm_weight
    return o.flatten(2) * g.sigmoid()


def flat_rule(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, fast_gate: Tensor, slow_gate: Tensor, blend: Tensor
) -> Tensor:
    """The flat ("Titans flat 1D") rule on chunks that know nothing of each other.

    Args:
        q, k, v: ``[..., C, D]``, after convolution and silu.
        beta, fast_gate, slow_gate: ``[..., C, 1]``, after their sigmoids.
        blend: ``[2]``.

    Returns:
        ``[..., C, D]``, before normalisation. It grows with the chunk: ``T`` is no true inverse.
    """
    _, _, v, _, t, p = within_chunks(q, k, v, beta)
    return blend[0] * fast_gate * (p @ v) + blend[1] * slow_gate * (p @ (t @ v))


class WithinChunks(NamedTuple):
    """What the chunked forms have in common."""

    q: Tensor
    """``[..., C, D]``, of unit length; so is ``k``."""
    k: Tensor
    v: Tensor
    """``[..., C, D]``, beta times v."""
    kb: Tensor
    """``[..., C, D]``, beta times k."""
    t: Tensor
    """``[..., C, C]``, unit lower triangular."""
    p: Tensor
    """``[..., C, C]``, lower triangular with the diagonal."""


def within_chunks(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> WithinChunks:
    """The matrices of each chunk, of ``q, k, v [..., C, D]`` after convolution and silu and ``beta [..., C, 1]``."""
    q = F.normalize(q, dim=-1, eps=L2_NORM_EPS)
    k = F.normalize(k, dim=-1, eps=L2_NORM_EPS)
    v, kb = beta * v, beta * k
    a = -(kb @ k.mT).tril(-1)
    # A times A TRANSPOSED: not the second term of the inverse of I - A, but what the weights were trained with.
    t = torch.eye(q.shape[-2], dtype=q.dtype, device=q.device) + a + (a @ a.mT).tril(-1)
    return WithinChunks(q, k, v, kb, t, (q @ k.mT).tril())


def to_chunks(x: Tensor, chunk: int) -> Tensor:
    """``[B, L, H, D]`` to ``[B, N, H, C, D]``, the last chunk filled up with zeros."""
    x = F.pad(x, (0, 0, 0, 0, 0, -x.shape[1] % chunk))
    return x.unflatten(1, (-1, chunk)).transpose(2, 3)


def from_chunks(x: Tensor, tokens: int) -> Tensor:
    """``[B, N, H, C, D]`` back to ``[B, L, H, D]``; the inverse of :func:`to_chunks`."""
    return x.transpose(2, 3).flatten(1, 2)[:, :tokens]
