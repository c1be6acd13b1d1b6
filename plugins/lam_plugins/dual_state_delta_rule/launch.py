"""Runs the dual-state delta rule's Triton kernels: sizes, compile-time constants, and the three launches."""

from typing import Any

import torch
from torch import Tensor

from lam_plugins.fused_delta_rule.kernel import DTYPES, HEAD_SIZES, MAX_BATCH

from . import Options
from .kernel import STEPS, chunks_kernel, heads_kernel, states_kernel

CHUNK_SIZES = (16, 32, 64)
SCALARS = 4
"""Numbers per chunk and head: psi, the decay of the fast state, the decay of the slow state, and one for alignment."""
WARPS = 4


def supports(projected: Tensor, head_size: int, chunk_size: int) -> bool:
    """Whether the kernels support these sizes, this dtype and this batch."""
    known = head_size in HEAD_SIZES and chunk_size in CHUNK_SIZES
    return known and projected.dtype in DTYPES and projected.shape[0] <= MAX_BATCH


def constants(
    step: str, hidden: int, head_size: int, width: int, chunk_size: int, options: Options, *, shared_flux: bool
) -> dict[str, Any]:
    """The compile-time arguments of one of :data:`STEPS`.

    Args:
        step: its name.
        hidden: M.
        head_size: D, one of ``HEAD_SIZES``.
        width: W, the columns of ``projected``.
        chunk_size: C, one of :data:`CHUNK_SIZES`.
        options: what the rule does besides.
        shared_flux: the layout of the flux's weight.

    Raises:
        ValueError: the kernels do not support the head or chunk size.
    """
    if head_size not in HEAD_SIZES or chunk_size not in CHUNK_SIZES:
        raise ValueError(
            f"the kernels have head sizes {HEAD_SIZES} and chunk sizes {CHUNK_SIZES}; found {head_size}, {chunk_size}"
        )
    common = {"HEADS": hidden // head_size, "HEAD_SIZE": head_size, "CHUNK": chunk_size}
    if step == "states":
        return common | {
            "COUPLED": options.cross_coupling,
            "FINAL_NORM": options.final_norm,
            "READOUT_NORM": options.readout_norm,
            "THRESHOLD": options.surprise_threshold,
        }
    return common | {"WIDTH": width} | ({"SHARED": shared_flux} if step == "chunks" else {})


def signature(step: str, dtype: str) -> dict[str, str]:
    """The parameters of one of :data:`STEPS` in their order, as the compiler names types; ``dtype`` fp16 or fp32."""
    kinds = {"lengths": "*i32", "memory": "*fp32", "scalars": "*fp32", "tokens": "i32", "chunks": "i32"}
    names = STEPS[step].arg_names
    return {name: "constexpr" if name.isupper() else kinds.get(name, f"*{dtype}") for name in names}


def compile_options() -> dict[str, Any]:
    """The compiler's options."""
    return {"num_warps": WARPS, "num_stages": 1, "enable_fp_fusion": True}


def dual_state_delta_rule(
    projected: Tensor,
    lengths: Tensor,
    weights: tuple[Tensor, ...],
    chunk_size: int,
    options: Options,
    out: Tensor | None = None,
) -> Tensor:
    """Compute the operator in three launches on the current CUDA stream (or in Triton's interpreter).

    Half precision is computed in float32, with products of TF32. Padded rows of ``projected`` are not read.

    Args:
        projected: ``[B, L, W]`` in float16 or float32, B up to 65,535. The other floats may differ from its dtype.
        lengths: ``[B]`` int32.
        weights: the operator's other tensors, in its order.
        chunk_size: C.
        options: what the rule does besides.
        out: a contiguous tensor ``[B, L, M]`` for the result. Every element is written. None: a new tensor.

    Raises:
        ValueError: the kernels do not support the sizes, the dtype or the batch.
    """
    batch, tokens, width = projected.shape
    conv_weight, conv_bias, norm_weight, decay_bias, *flux = (weight.contiguous() for weight in weights)
    hidden, head_size = conv_bias.shape[0] // 3, norm_weight.shape[0]
    if projected.dtype not in DTYPES or batch > MAX_BATCH:
        raise ValueError(
            f"the kernels take float16 or float32, and at most {MAX_BATCH:,} texts; found {projected.dtype}, {batch:,}"
        )

    def sizes(step: str) -> dict[str, Any]:
        return constants(step, hidden, head_size, width, chunk_size, options, shared_flux=flux[0].ndim == 2)

    heads, chunks = sizes("states")["HEADS"], -(-tokens // chunk_size)
    result = projected.new_empty(batch, tokens, hidden) if out is None else out
    if result.numel() == 0:
        return result
    if conv_weight.data_ptr() % 8:  # the kernels read a channel's four taps as one word
        conv_weight = conv_weight.clone()
    projected, lengths = projected.contiguous(), lengths.contiguous()
    memory = projected.new_empty(batch, chunks, heads, 2, head_size, head_size, dtype=torch.float32)
    scalars = projected.new_empty(batch, chunks, heads, SCALARS, dtype=torch.float32)
    conv = (conv_weight, conv_bias)
    with torch.cuda.device_of(projected):
        chunks_kernel[chunks * heads, batch](
            projected,
            lengths,
            *conv,
            decay_bias,
            *flux,
            tokens,
            chunks,
            memory,
            scalars,
            **sizes("chunks"),
            **compile_options(),
        )
        states_kernel[heads, batch](lengths, chunks, memory, scalars, **sizes("states"), **compile_options())
        heads_kernel[chunks * heads, batch](
            projected,
            lengths,
            *conv,
            norm_weight,
            tokens,
            chunks,
            memory,
            scalars,
            result,
            **sizes("heads"),
            **compile_options(),
        )
    return result
