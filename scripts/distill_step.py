"""The training face of the flat and the recurrent encoder: the same maths as the reference, on texts of equal length.

Without padding there is nothing to mask. Products run in bfloat16 (four times as fast where the CPU has avx512_bf16);
the rule, norms and sums stay float32. Compiled, the operator's many small steps become a few loops over the data.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lam_export.model.encoder import Encoder, Layer
from lam_export.model.forms.flat import Flat
from lam_export.model.forms.packed import Packed
from lam_export.model.forms.recurrent import Recurrent
from lam_plugins.dual_state_delta_rule import naive as dual_state
from lam_plugins.fused_delta_rule import naive


def equal_length_states(encoder: Encoder, input_ids: Tensor, product: torch.dtype, compiled: bool) -> list[Tensor]:
    """The embeddings' output and every layer's, ``[B, L, M]`` each.

    Args:
        encoder: in the flat or the recurrent form.
        input_ids: ``[B, L]`` int64, without padding.
        product: dtype of the matrix products.
        compiled: compile a layer with torch.compile: about a minute at first, kept on disk.
    """
    lengths = torch.full((len(input_ids),), input_ids.shape[1], dtype=torch.int32, device=input_ids.device)
    with torch.no_grad():  # the embeddings are the teacher's
        states = [encoder.embeddings(input_ids, lengths)]
    for layer in encoder.layers:
        states.append(equal_length_layer(cast(Layer, layer), states[-1], product, compiled))
    return states


def equal_length_layer(layer: Layer, x: Tensor, product: torch.dtype, compiled: bool) -> Tensor:
    """``Layer.forward`` on whole rows: ``[B, L, M]`` to ``[B, L, M]``; ``product`` and ``compiled`` as above."""
    form, tokens = cast(Packed, layer.form), x.shape[1]
    project, flat, finish = _faces(compiled, x.device.type)
    convolved, scalars, g = project(form, x, product)
    if isinstance(form, Recurrent):
        return finish(layer, x, _recurrent_rule(form, convolved, scalars), g, product)
    chunk = min(cast(Flat, form).chunk_size, tokens)
    chunks = [naive.to_chunks(part, chunk).flatten(0, 1) for part in (convolved, scalars)]
    mixed = flat(*chunks, cast(Flat, form).blend).unflatten(0, (len(x), -1))
    return finish(layer, x, naive.from_chunks(mixed, tokens), g, product)


def _project(form: Packed, x: Tensor, product: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v ``[B, L, 3H, D]`` after convolution and silu, gates and decays ``[B, L, 3H or 5H, 1]`` after sigmoid, and
    g ``[B, L, M]``."""
    hidden, size = form.conv_bias.shape[0] // 3, form.norm_weight.shape[0]
    heads = hidden // size
    scalars = heads * (5 if isinstance(form, Recurrent) else 3)
    # A product for each part: the gradients need not be put together.
    parts = form.in_proj.weight[: 4 * hidden + scalars].split([3 * hidden, hidden, scalars])
    of_qkv, of_g, of_scalars = (_linear(x, weight, None, product) for weight in parts)
    if isinstance(form, Recurrent):
        of_scalars = of_scalars + F.pad(form.decay_bias, (3 * heads, 0))
    convolved = F.silu(_Convolution.apply(of_qkv, form.conv_weight, form.conv_bias))
    return convolved.unflatten(-1, (3 * heads, size)), of_scalars.sigmoid()[..., None], of_g


def _flat_rule(qkv: Tensor, gates: Tensor, blend: Tensor) -> Tensor:
    """``naive.flat_rule`` on ``[B, 3H, C, D]`` and ``[B, 3H, C, 1]``."""
    return naive.flat_rule(*qkv.chunk(3, dim=1), *gates.chunk(3, dim=1), blend)


def _recurrent_rule(form: Recurrent, qkv: Tensor, scalars: Tensor) -> Tensor:
    """The heads ``[B, L, H, D]`` before normalisation. It is not compiled: its loop has a length for every text."""
    tokens = qkv.shape[1]
    valid = torch.ones(len(qkv), tokens, 1, 1, dtype=torch.bool, device=qkv.device)
    parts = (*qkv.chunk(3, dim=2), *scalars.chunk(5, dim=2), valid)
    chunks = dual_state.Chunks(*(naive.to_chunks(part, min(form.chunk_size, tokens)) for part in parts))
    flux, before = dual_state.Flux(*form.flux()), dual_state.State.zero(chunks.q)
    return naive.from_chunks(dual_state.recurrent_rule(chunks, flux, form.options, before)[0], tokens)


def _finish(layer: Layer, x: Tensor, mixed: Tensor, g: Tensor, product: torch.dtype) -> Tensor:
    """``naive.gated_norm`` and ``Layer.after_form``."""
    heads = naive.gated_norm(mixed, g, cast(Packed, layer.form).norm_weight)
    x = layer.mixer_norm(x + _linear(heads, layer.o_proj.weight, None, product))
    inner = _linear(x, layer.ffn_in.weight, layer.ffn_in.bias, product)
    for _ in range(layer.activation_passes):
        inner = F.gelu(inner)
    return layer.ffn_norm(x + _linear(inner, layer.ffn_out.weight, layer.ffn_out.bias, product))


@functools.cache
def _faces(compiled: bool, device: str) -> tuple[Callable[..., Any], ...]:
    """The three functions of a layer, eager or compiled: when the compiler must divide a length into chunks, it takes
    minutes. Sizes change with every batch: one graph for all of them."""
    functions = (_project, _flat_rule, _finish)
    if not compiled:
        return functions
    # On a CPU, low thresholds make it keep values that it would compute anew in each of the convolution's four taps.
    options = {"realize_opcount_threshold": 4, "realize_reads_threshold": 2} if device == "cpu" else {}
    return tuple(torch.compile(function, dynamic=True, options=options) for function in functions)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, product: torch.dtype) -> Tensor:
    y = F.linear(x.to(product), weight.to(product), None if bias is None else bias.to(product))
    return y.to(x.dtype)


class _Convolution(torch.autograd.Function):
    """The short convolution of ``naive.convolve``, with a gradient that compiles well: a convolution too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        seen = F.pad(x, (0, 0, 2, 1))  # output t sees tokens t-2 .. t+1
        return bias + _sum(seen[:, tap : tap + x.shape[1]] * weight[:, tap] for tap in range(4))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        seen = F.pad(grad, (0, 0, 1, 2))  # token t is seen by outputs t-1 .. t+2
        taps = [seen[:, 3 - tap : 3 - tap + x.shape[1]] for tap in range(4)]
        of_x = _sum(part * weight[:, tap] for tap, part in enumerate(taps))
        return of_x, torch.stack([(part * x).sum((0, 1)) for part in taps], 1), grad.sum((0, 1))


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return functools.reduce(torch.add, parts)
