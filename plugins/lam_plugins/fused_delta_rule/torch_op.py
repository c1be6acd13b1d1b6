"""``torch.ops.lam.fused_delta_rule``: the operator as PyTorch sees it, traceable as one node."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from . import naive


@torch.library.custom_op("lam::fused_delta_rule", mutates_args=())
def fused_delta_rule(
    projected: Tensor,
    lengths: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    blend: Tensor,
    chunk_size: int,
) -> Tensor:
    """``[B, L, W]`` to ``[B, L, M]``; arguments and result as in :func:`naive.fused_delta_rule`.

    In half precision, inputs and normalised heads are half precision. Everything between is float32, because the rule's
    raw output exceeds the range of float16 on ordinary text.
    """
    return _naive(projected, lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size)


def _naive(projected, lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size):
    def wide(tensor: Tensor) -> Tensor:
        return tensor.float() if tensor.dtype.itemsize == 2 else tensor

    heads = naive.fused_delta_rule(
        wide(projected), lengths, wide(conv_weight), wide(conv_bias), wide(norm_weight), wide(blend), chunk_size
    )
    return heads.to(projected.dtype)


@fused_delta_rule.register_kernel("cuda")
def _(projected, lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size):
    arguments = (projected, lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size)
    if find_spec("triton") is not None:
        from . import kernel  # imports Triton

        if kernel.supports(projected, norm_weight.shape[0], chunk_size):
            return kernel.fused_delta_rule(*arguments)
    return _naive(*arguments)


@fused_delta_rule.register_fake
def _(projected, lengths, conv_weight, conv_bias, norm_weight, blend, chunk_size):
    return projected.new_empty(projected.shape[0], projected.shape[1], conv_bias.shape[0] // 3)


def _setup_context(ctx, inputs, output):
    *tensors, ctx.chunk_size = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, grad):
    # Recomputed rather than stored: distillation and fine-tuning are the only callers, and the chunks' [C, C]
    # matrices would be most of a step's memory.
    tensors = [t.detach().requires_grad_(t.is_floating_point()) for t in ctx.saved_tensors]
    arguments: tuple[Any, ...] = (*tensors, ctx.chunk_size)
    # The caller's backward may run under autocast, but this must not.
    with torch.enable_grad(), torch.autocast(grad.device.type, enabled=False):
        output = naive.fused_delta_rule(*arguments)
        wanted = [t for t in tensors if t.requires_grad]
        grads = iter(torch.autograd.grad(output, wanted, grad))
    return (*(next(grads) if t.requires_grad else None for t in tensors), None)


fused_delta_rule.register_autograd(_backward, setup_context=_setup_context)
# Under autocast the rule stays in float32: its unnormalised output passes the range of half precision.
fused_delta_rule.register_autocast("cpu", torch.float32)
fused_delta_rule.register_autocast("cuda", torch.float32)
