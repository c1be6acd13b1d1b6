"""The fused delta rule as one Triton kernel, for PyTorch on CUDA and, compiled ahead of time, for TensorRT.

A program computes one chunk of one head of one text. It walks over the chunk in blocks of tokens. A block needs four
``[D, D]`` sums over the earlier blocks. README.md has the maths and the names.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

HEAD_SIZES = (16, 32, 64)
CHUNK_SIZES = range(16, 129, 16)
DTYPES = (torch.float16, torch.float32)
MAX_BATCH = 65_535
"""Largest y dimension of a CUDA grid."""


@dataclass(frozen=True)
class Variant:
    """How the work is divided. The result is the same up to rounding."""

    block: int
    """Tokens in a block: a power of two, at least 16. Blocks are smaller if the chunk is not a multiple of it."""
    warps: int


VARIANTS = {"rows16": Variant(16, 4), "rows32": Variant(32, 2), "rows64": Variant(64, 4)}
DEFAULT_VARIANT = "rows32"


def default_variant(dtype: torch.dtype, head_size: int) -> str:
    """The default variant. In float32 and for the largest heads, only the smallest blocks fit into the registers."""
    return DEFAULT_VARIANT if dtype == torch.float16 and head_size <= 32 else "rows16"


def supports(projected: Tensor, head_size: int, chunk_size: int) -> bool:
    """Whether the kernel supports these sizes, this dtype and this batch."""
    known = head_size in HEAD_SIZES and chunk_size in CHUNK_SIZES
    return known and projected.dtype in DTYPES and projected.shape[0] <= MAX_BATCH


def constants(hidden: int, head_size: int, width: int, chunk_size: int, variant: Variant) -> dict[str, int]:
    """The kernel's compile-time arguments: all sizes but the batch's.

    Args:
        hidden: M.
        head_size: D, one of :data:`HEAD_SIZES`.
        width: W, the columns of ``projected``.
        chunk_size: C, one of :data:`CHUNK_SIZES`.
        variant: how the work is divided.

    Raises:
        ValueError: the kernel does not support the head or chunk size.
    """
    if head_size not in HEAD_SIZES or chunk_size not in CHUNK_SIZES:
        raise ValueError(
            f"the kernel has head sizes {HEAD_SIZES} and chunk sizes 16, 32, .. 128; found {head_size} and {chunk_size}"
        )
    largest_power_of_two = chunk_size & -chunk_size
    return {
        "HEADS": hidden // head_size,
        "HEAD_SIZE": head_size,
        "WIDTH": width,
        "CHUNK": chunk_size,
        "BLOCK": min(variant.block, largest_power_of_two),
    }


def signature(dtype: str) -> dict[str, str]:
    """The kernel's parameters in their order, as the compiler names types; ``dtype`` is ``fp16`` or ``fp32``."""
    tensor = f"*{dtype}"
    parameters = {
        "projected": tensor,
        "lengths": "*i32",
        "conv_weight": tensor,
        "conv_bias": tensor,
        "norm_weight": tensor,
        "blend": tensor,
        "tokens": "i32",
        "heads": tensor,
    }
    return parameters | dict.fromkeys(("HEADS", "HEAD_SIZE", "WIDTH", "CHUNK", "BLOCK"), "constexpr")


def options(variant: Variant) -> dict[str, Any]:
    """The compiler's options. One stage: asynchronous copies would read every row from L2 once per tap."""
    return {"num_warps": variant.warps, "num_stages": 1, "enable_fp_fusion": True}


def launch_grid(batch: Any, tokens: Any, heads: int, chunk_size: int) -> tuple[Any, Any]:
    """The grid's x and y, for B and L as ints or as TensorRT's expressions, which support ``+``, ``*`` and ``//``."""
    return (tokens + (chunk_size - 1)) // chunk_size * heads, batch


def fused_delta_rule(
    projected: Tensor,
    lengths: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    blend: Tensor,
    chunk_size: int,
    variant: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Compute :func:`naive.fused_delta_rule` in one launch on the current CUDA stream (or in Triton's interpreter).

    Half precision is accumulated in float32. Padded rows of ``projected`` are not read.

    Args:
        projected: ``[B, L, W]`` in float16 or float32, B up to 65,535. The other floats may differ from its dtype.
        lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size: as there.
        variant: a name in :data:`VARIANTS`; None is the default for dtype and head size.
        out: a contiguous tensor ``[B, L, M]`` for the result. Every element is written. None: a new tensor.

    Raises:
        ValueError: the kernel does not support the sizes, the dtype or the batch.
    """
    batch, tokens, width = projected.shape
    hidden, head_size = conv_bias.shape[0] // 3, norm_weight.shape[0]
    if projected.dtype not in DTYPES or batch > MAX_BATCH:
        raise ValueError(
            f"the kernel takes float16 or float32, and at most {MAX_BATCH:,} texts; found {projected.dtype}, {batch:,}"
        )
    shape = VARIANTS[variant or default_variant(projected.dtype, head_size)]
    sizes = constants(hidden, head_size, width, chunk_size, shape)
    heads = projected.new_empty(batch, tokens, hidden) if out is None else out
    if heads.numel() == 0:
        return heads
    floats = [t.contiguous() for t in (conv_weight, conv_bias, norm_weight, blend)]
    if floats[0].data_ptr() % 8:  # the kernel reads a channel's four taps as one word
        floats[0] = floats[0].clone()
    grid = launch_grid(batch, tokens, sizes["HEADS"], chunk_size)
    with torch.cuda.device_of(projected):
        fused_delta_rule_kernel[grid](
            projected.contiguous(), lengths.contiguous(), *floats, tokens, heads, **sizes, **options(shape)
        )
    return heads


@triton.jit
def sigmoid(x):
    """In two instructions that are fast for every operand: ``1 / d`` is ``rsqrt(d)`` squared, and d is at least 1."""
    root = tl.rsqrt(1 + tl.exp2(x * -1.4426950408889634))
    return root * root


@triton.jit
def unit(x):
    """Rows brought to unit length, ``x / max(|x|, 1e-12)``."""
    return x * tl.rsqrt(tl.maximum(tl.sum(x * x, axis=1), 1e-24))[:, None]


@triton.jit
def gate(projected, row, column, length, WIDTH: tl.constexpr):
    """``[BLOCK]``: the sigmoid of one column."""
    return sigmoid(tl.load(projected + row * WIDTH + column, mask=row < length, other=0.0).to(tl.float32))


@triton.jit
def columns(projected, row, column, length, WIDTH: tl.constexpr):
    """``[BLOCK, D]`` in float32; zero outside the text."""
    inside = (row >= 0) & (row < length)
    return tl.load(projected + row[:, None] * WIDTH + column[None, :], mask=inside[:, None], other=0.0).to(tl.float32)


@triton.jit
def _tap(packed, TAP: tl.constexpr):
    """One of four float16 in a 64-bit word."""
    return (packed >> (16 * TAP)).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)[None, :]


@triton.jit
def conv_silu(projected, conv_weight, conv_bias, row, column, length, WIDTH: tl.constexpr):
    """``[BLOCK, D]``: row t sees t-2 .. t+1.

    The weights are read again for every block: in registers they would take more room than all sums. The four taps of
    a channel are neighbours, so they come in one word.
    """
    if conv_weight.dtype.element_ty == tl.float16:
        packed = tl.load(conv_weight.to(tl.pointer_type(tl.int64)) + column)
        w0 = _tap(packed, 0)
        w1 = _tap(packed, 1)
        w2 = _tap(packed, 2)
        w3 = _tap(packed, 3)
    else:
        w0 = tl.load(conv_weight + column * 4)[None, :]
        w1 = tl.load(conv_weight + column * 4 + 1)[None, :]
        w2 = tl.load(conv_weight + column * 4 + 2)[None, :]
        w3 = tl.load(conv_weight + column * 4 + 3)[None, :]
    y = tl.load(conv_bias + column).to(tl.float32)[None, :]
    y += w0 * columns(projected, row - 2, column, length, WIDTH)
    y += w1 * columns(projected, row - 1, column, length, WIDTH)
    y += w2 * columns(projected, row, column, length, WIDTH)
    y += w3 * columns(projected, row + 1, column, length, WIDTH)
    return y * sigmoid(y)


@triton.jit
def _dot(a, b, TYPE: tl.constexpr):
    """A product of TYPE accumulated in float32; float32 is exact here, not TF32."""
    return tl.dot(a.to(TYPE), b.to(TYPE), input_precision="ieee")


@triton.jit(do_not_specialize=["tokens"])
def fused_delta_rule_kernel(
    projected,  # [B, L, WIDTH]
    lengths,  # [B] int32
    conv_weight,  # [3M, 4]
    conv_bias,  # [3M]
    norm_weight,  # [D]
    blend,  # [2]
    tokens,  # L, int32
    heads,  # [B, L, M]
    HEADS: tl.constexpr,
    HEAD_SIZE: tl.constexpr,
    WIDTH: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Grid ``(HEADS * ceil(L / CHUNK), B)``: neighbouring programs read neighbouring columns of the same rows."""
    TYPE: tl.constexpr = projected.dtype.element_ty
    HIDDEN: tl.constexpr = HEADS * HEAD_SIZE
    head = tl.program_id(0) % HEADS
    first = tl.program_id(0) // HEADS * CHUNK
    text = tl.program_id(1)
    length = tl.load(lengths + text)
    projected += text.to(tl.int64) * tokens * WIDTH
    heads += text.to(tl.int64) * tokens * HIDDEN
    fast, slow = tl.load(blend).to(tl.float32), tl.load(blend + 1).to(tl.float32)
    column = head * HEAD_SIZE + tl.arange(0, HEAD_SIZE)
    i = tl.arange(0, BLOCK)

    # Sums over the blocks before this one: k^T k, y^T v, k^T v, k^T u. A product rounds them to TYPE anyway; kept in
    # it, they need half the registers.
    kk = tl.zeros((HEAD_SIZE, HEAD_SIZE), TYPE)
    yv = tl.zeros((HEAD_SIZE, HEAD_SIZE), TYPE)
    kv = tl.zeros((HEAD_SIZE, HEAD_SIZE), TYPE)
    ku = tl.zeros((HEAD_SIZE, HEAD_SIZE), TYPE)
    scale = tl.full((), 1e-12, tl.float32)

    end = tl.minimum(first + CHUNK, tokens)
    for start in tl.range(first, tl.minimum(end, length), BLOCK, disable_licm=True):
        row = start + i
        below = row[:, None] > row[None, :]
        lower = row[:, None] >= row[None, :]
        q = unit(conv_silu(projected, conv_weight, conv_bias, row, column, length, WIDTH)).to(TYPE)
        k = unit(conv_silu(projected, conv_weight, conv_bias, row, HIDDEN + column, length, WIDTH))
        v = conv_silu(projected, conv_weight, conv_bias, row, 2 * HIDDEN + column, length, WIDTH)
        beta = gate(projected, row, 4 * HIDDEN + head, length, WIDTH)
        kb = (beta[:, None] * k).to(TYPE)
        k = k.to(TYPE)

        # v, and everything linear in v, is divided by 32 times a power of two near the largest v so far. Then nothing
        # in a chunk of 128 exceeds the range of half precision (README.md), even with large v and many repetitions.
        # And a small v keeps its bits.
        peak = tl.maximum(tl.max(beta * tl.max(tl.abs(v), axis=1), axis=0), scale)
        exponent = peak.to(tl.int32, bitcast=True) & 0x7F800000
        inverse = (0x7F000000 - exponent).to(tl.float32, bitcast=True)
        v = (v * (beta * (inverse / 32))[:, None]).to(TYPE)
        shrink = scale * inverse
        yv = (yv * shrink).to(TYPE)
        kv = (kv * shrink).to(TYPE)
        ku = (ku * shrink).to(TYPE)
        scale = exponent.to(tl.float32, bitcast=True)

        kt = tl.trans(k)
        n = _dot(kb, kt, TYPE)
        p = tl.where(lower, _dot(q, kt, TYPE), 0.0).to(TYPE)
        y = (_dot(kb, kk, TYPE) + _dot(tl.where(below, n, 0.0), k, TYPE)).to(TYPE)
        kk = (kk + _dot(kt, k, TYPE)).to(TYPE)
        yt = tl.trans(y)
        s = tl.where(below, _dot(kb, yt, TYPE) - n, 0.0)
        u = (_dot(kb, yv.to(tl.float32) - kv.to(tl.float32), TYPE) + _dot(s, v, TYPE)).to(TYPE)
        yv = (yv + _dot(yt, v, TYPE)).to(TYPE)
        o_fast = _dot(q, kv, TYPE) + _dot(p, v, TYPE)
        kv = (kv + _dot(kt, v, TYPE)).to(TYPE)
        o_slow = _dot(q, ku, TYPE) + _dot(p, u, TYPE)
        ku = (ku + _dot(kt, u, TYPE)).to(TYPE)

        fast_gate = gate(projected, row, 4 * HIDDEN + HEADS + head, length, WIDTH) * (fast * 32 * scale)
        slow_gate = gate(projected, row, 4 * HIDDEN + 2 * HEADS + head, length, WIDTH) * (slow * 32 * scale)
        o = (fast_gate + slow_gate)[:, None] * o_fast + slow_gate[:, None] * o_slow
        o *= tl.rsqrt(tl.sum(o * o, axis=1) / HEAD_SIZE + 1e-5)[:, None]
        norm = tl.load(norm_weight + tl.arange(0, HEAD_SIZE)).to(tl.float32)
        o *= norm[None, :] * sigmoid(columns(projected, row, 3 * HIDDEN + column, length, WIDTH))
        o = tl.where((row < length)[:, None], o, 0.0)
        tl.store(heads + row[:, None] * HIDDEN + column[None, :], o.to(TYPE), mask=(row < tokens)[:, None])

    padding = first + tl.cdiv(tl.maximum(length - first, 0), BLOCK) * BLOCK
    for start in tl.range(padding, end, BLOCK):
        row = start + i
        zero = tl.zeros((BLOCK, HEAD_SIZE), TYPE)
        tl.store(heads + row[:, None] * HIDDEN + column[None, :], zero, mask=(row < tokens)[:, None])
