"""``torch.ops.lam.dual_state_delta_rule``: the operator as PyTorch sees it, traceable as one node."""

from importlib.util import find_spec

import torch
from torch import Tensor

from lam_plugins.fused_delta_rule.naive import Steps

from . import Options, naive

_WEIGHTS_AND_OPTIONS = (
    "Tensor conv_weight, Tensor conv_bias, Tensor norm_weight, Tensor decay_bias, Tensor flux_weight, "
    "Tensor flux_temperature, Tensor flux_in_weight, Tensor flux_in_bias, Tensor flux_out_weight, "
    "Tensor flux_out_bias, int chunk_size, bool cross_coupling, bool final_norm, bool readout_norm, "
    "float? surprise_threshold"
)
"""The last arguments of both operators, as PyTorch declares them."""


@torch.library.custom_op(
    "lam::dual_state_delta_rule",
    mutates_args=(),
    schema=f"(Tensor projected, Tensor lengths, {_WEIGHTS_AND_OPTIONS}) -> Tensor",
)
def dual_state_delta_rule(projected, lengths, *weights_and_options):
    """``[B, L, W]`` to ``[B, L, M]``; arguments and result as in :func:`naive.dual_state_delta_rule`.

    In half precision, inputs and normalised heads are half precision, and everything between is float32.
    """
    return steps(projected, lengths, *weights_and_options).heads.to(projected.dtype)


@dual_state_delta_rule.register_kernel("cuda")
def _(projected, lengths, *weights_and_options):
    *weights, chunk_size, cross_coupling, final_norm, readout_norm, surprise_threshold = weights_and_options
    norm_weight = weights[2]
    if find_spec("triton") is not None:
        from . import launch  # imports Triton

        if launch.supports(projected, norm_weight.shape[0], chunk_size):
            options = Options(cross_coupling, final_norm, readout_norm, surprise_threshold)
            return launch.dual_state_delta_rule(projected, lengths, tuple(weights), chunk_size, options)
    return steps(projected, lengths, *weights_and_options).heads.to(projected.dtype)


def steps(projected, lengths, *weights_and_options) -> Steps:
    """The operator's intermediate results, in plain PyTorch and at least float32. Takes the operator's arguments."""
    return naive.steps(_wide(projected), lengths, *_for_naive(*weights_and_options))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype.itemsize == 2 else tensor


def _for_naive(conv_weight, conv_bias, norm_weight, decay_bias, *flux_and_options):
    """The operators' last arguments, in the form that ``naive.py`` takes."""
    *flux, chunk_size, cross_coupling, final_norm, readout_norm, surprise_threshold = flux_and_options
    return (
        *map(_wide, (conv_weight, conv_bias, norm_weight, decay_bias)),
        naive.Flux(*map(_wide, flux)),
        chunk_size,
        Options(cross_coupling, final_norm, readout_norm, surprise_threshold),
    )


@dual_state_delta_rule.register_fake
def _(projected, lengths, conv_weight, conv_bias, *_):
    return projected.new_empty(projected.shape[0], projected.shape[1], conv_bias.shape[0] // 3)


@torch.library.custom_op(
    "lam::dual_state_delta_rule_stream",
    mutates_args=(),
    schema=f"(Tensor projected, Tensor lengths, Tensor own, Tensor context, Tensor state, {_WEIGHTS_AND_OPTIONS}) "
    "-> (Tensor, Tensor)",
)
def dual_state_delta_rule_stream(projected, lengths, own, context, state, *weights_and_options):
    """Arguments and results as in :func:`naive.dual_state_delta_rule_stream`; plain PyTorch on any device."""
    heads, after = naive.dual_state_delta_rule_stream(
        _wide(projected), lengths, own, _wide(context), state, *_for_naive(*weights_and_options)
    )
    return heads.to(projected.dtype), after


@dual_state_delta_rule_stream.register_fake
def _(projected, lengths, own, context, state, conv_weight, conv_bias, *_):
    return projected.new_empty(projected.shape[0], projected.shape[1], conv_bias.shape[0] // 3), torch.empty_like(state)
