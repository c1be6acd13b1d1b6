"""The dual-state delta rule in plain PyTorch: the only oracle for its other faces."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lam_plugins.fused_delta_rule.naive import (
    Steps,
    convolve,
    from_chunks,
    gated_norm,
    to_chunks,
    valid_rows,
    within_chunks,
)

from . import Options

STATE_NORM_EPS = 1e-8
PSI_RANGE = (0.01, 0.99)


class Flux(NamedTuple):
    """The weights of the resonance flux of one layer, as a checkpoint holds them."""

    weight: Tensor
    """``[H, D, D]``, per head, or ``[D, D]``, shared; see :func:`resonance_flux`."""
    temperature: Tensor
    """``[H]``."""
    in_weight: Tensor
    """``[E, 2D + 1]``."""
    in_bias: Tensor
    """``[E]``."""
    out_weight: Tensor
    """``[1, E]``."""
    out_bias: Tensor
    """``[1]``."""


class State(NamedTuple):
    """The two memories of one layer, ``[B, H, D, D]`` each: keys to values."""

    fast: Tensor
    slow: Tensor

    @staticmethod
    def zero(like: Tensor) -> "State":
        """The state at a text's beginning. ``like`` is q, k or v in chunks ``[B, N, H, C, D]``."""
        batch, _, heads, _, size = like.shape
        return State(like.new_zeros(batch, heads, size, size), like.new_zeros(batch, heads, size, size))


class Chunks(NamedTuple):
    """The inputs of the rule, in chunks; see :func:`recurrent_rule`."""

    q: Tensor
    """``[B, N, H, C, D]`` after convolution and silu; so are k and v."""
    k: Tensor
    v: Tensor
    beta: Tensor
    """``[B, N, H, C, 1]`` after its sigmoid; so are the gates and decays."""
    fast_gate: Tensor
    slow_gate: Tensor
    fast_decay: Tensor
    slow_decay: Tensor
    valid: Tensor
    """``[B, N, 1, C, 1]`` bool: the text's own tokens, which stand before the others."""


def dual_state_delta_rule(
    projected: Tensor,
    lengths: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    decay_bias: Tensor,
    flux: Flux,
    chunk_size: int,
    options: Options = Options(),
) -> Tensor:
    """Everything in a recurrent mixer between its input projection and ``o_proj``.

    The head count H and head size D follow from the shapes: ``D = len(norm_weight)``, ``M = len(conv_bias) / 3``,
    ``H = M / D``. Runs in the dtype of its inputs, on their device. The maths is in this folder's README.

    Args:
        projected: ``[B, L, W]``, columns ``q | k | v | g`` (M each), then ``beta | fast_gate | slow_gate | fast_decay |
            slow_decay`` (H each, before their sigmoids); columns past ``4M + 5H`` are alignment and are not read.
        lengths: ``[B]`` int32, the number of true tokens of each text, 0..L. Rows at and beyond it are not read.
        conv_weight: ``[3M, 4]``, depthwise taps of q, k and v; output t sees tokens t-2 .. t+1.
        conv_bias: ``[3M]``.
        norm_weight: ``[D]``, the scale of the heads' RMSNorm.
        decay_bias: ``[2H]``, added to the decays' columns, fast then slow.
        flux: the weights that psi is computed with.
        chunk_size: tokens in a chunk; chunks start at token 0.
        options: what is done besides.

    Returns:
        ``[B, L, M]``: the gated, normalised heads, concatenated; zero at and beyond a text's length.
    """
    return steps(projected, lengths, conv_weight, conv_bias, norm_weight, decay_bias, flux, chunk_size, options).heads


def steps(
    projected: Tensor,
    lengths: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    decay_bias: Tensor,
    flux: Flux,
    chunk_size: int,
    options: Options = Options(),
) -> Steps:
    """:func:`dual_state_delta_rule` and what it computes on the way. Only ``heads`` means anything in padded rows."""
    convolved, g, chunks = _prepared(projected, lengths, conv_weight, conv_bias, norm_weight, decay_bias, chunk_size)
    o, _ = recurrent_rule(chunks, flux, options, State.zero(chunks.q))
    mixed = from_chunks(o, projected.shape[1])
    o = torch.where(valid_rows(lengths, projected.shape[1]), gated_norm(mixed, g, norm_weight), 0)
    return Steps(convolved, mixed, o)


def dual_state_delta_rule_stream(
    projected: Tensor,
    lengths: Tensor,
    own: Tensor,
    context: Tensor,
    state: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    decay_bias: Tensor,
    flux: Flux,
    chunk_size: int,
    options: Options = Options(),
) -> tuple[Tensor, Tensor]:
    """:func:`dual_state_delta_rule` that continues a text, given the state after its previous rows.

    Rows of look-ahead may follow the own rows. They are computed too, but the returned state is the one before them, so
    that a later call can continue there.

    Args:
        projected: ``[B, L, W]``. The first row is at the beginning of a chunk. Its columns, and arguments that are not
            described here, are as in :func:`dual_state_delta_rule`.
        lengths: ``[B]`` int32, the number of true rows of each text.
        own: ``[B]`` int32, the number of own rows among them: whole chunks, or all.
        context: ``[B, 2, 3M]``, the columns ``q | k | v`` of the two rows before; zeros at a text's beginning.
        state: ``[B, H, 2, D, D]``, fast and slow, before the first row; zeros at a text's beginning.

    Returns:
        The heads ``[B, L, M]``, and the state after the own rows. If the text goes on after the last row, that row has
        not seen its next token.
    """
    tokens = projected.shape[1]
    weights = (conv_weight, conv_bias, norm_weight, decay_bias)
    _, g, chunks = _prepared(projected, lengths, *weights, chunk_size, context)
    before = State(*state.unbind(2))
    o, _ = recurrent_rule(chunks, flux, options, before)
    heads = torch.where(valid_rows(lengths, tokens), gated_norm(from_chunks(o, tokens), g, norm_weight), 0)
    of_own = to_chunks(valid_rows(own, tokens)[..., None], chunks.q.shape[3])
    _, after = recurrent_rule(chunks._replace(valid=chunks.valid & of_own), flux, options, before)
    return heads, torch.stack(after, dim=2)


def _prepared(
    projected: Tensor,
    lengths: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    decay_bias: Tensor,
    chunk_size: int,
    context: Tensor | None = None,
) -> tuple[Tensor, Tensor, Chunks]:
    """The convolved q, k and v ``[B, L, 3M]``, g ``[B, L, M]``, and what the rule reads."""
    tokens = projected.shape[1]
    hidden = conv_bias.shape[0] // 3
    heads = hidden // norm_weight.shape[0]
    valid = valid_rows(lengths, tokens)
    projected = torch.where(valid, projected, 0)
    qkv = projected[..., : 3 * hidden]
    seen = qkv if context is None else torch.cat([context, qkv], dim=1)
    convolved = convolve(seen, conv_weight, conv_bias)[:, -tokens:]
    q, k, v = convolved.unflatten(-1, (3 * heads, -1)).chunk(3, dim=2)
    gates = projected[..., 4 * hidden : 4 * hidden + 3 * heads]
    decays = projected[..., 4 * hidden + 3 * heads : 4 * hidden + 5 * heads] + decay_bias
    scalars = torch.cat([gates, decays], dim=-1).sigmoid()[..., None].chunk(5, dim=2)  # [B, L, H, 1] each
    chunk = min(chunk_size, tokens)
    chunks = Chunks(*(to_chunks(x, chunk) for x in (q, k, v, *scalars, valid[..., None])))
    return convolved, projected[..., 3 * hidden : 4 * hidden], chunks


def recurrent_rule(chunks: Chunks, flux: Flux, options: Options, state: State) -> tuple[Tensor, State]:
    """The dual-state rule on consecutive chunks of texts, starting from a state.

    A text may be split between chunks into several calls. Each call takes the state that the previous one returned, and
    the results are those of one call. A chunk without tokens leaves the state unchanged.

    Args:
        chunks: of all texts.
        flux: the weights of psi.
        options: what is done besides.
        state: before the first chunk.

    Returns:
        ``[B, N, H, C, D]`` before normalisation, meaningless in padded rows; and the state after the last chunk.
    """
    valid = chunks.valid
    q, k, v, kb, t, p = within_chunks(
        chunks.q, torch.where(valid, chunks.k, 0), torch.where(valid, chunks.v, 0), chunks.beta
    )
    u, w = t @ v, t @ kb
    tokens = valid.sum(-2, keepdim=True)  # [B, N, 1, 1, 1]
    psi = resonance_flux(k, u, tokens, flux)
    coupling = 0.05 + 0.1 * psi.mean(2, keepdim=True)  # over the heads of the same text
    decay_f = _mean(chunks.fast_decay, valid, tokens) * (1 - 0.1 * psi)
    decay_s = _mean(chunks.slow_decay, valid, tokens) * (1 - 0.05 * psi)
    alpha = 0.5 + 0.3 * psi

    fast, slow = state
    outputs = []
    for i in range(q.shape[1]):
        s_f, s_s = fast * decay_f[:, i], slow * decay_s[:, i]
        r_f, r_s = (_unit(s_f), _unit(s_s)) if options.readout_norm else (s_f, s_s)
        u_f, u_s = u[:, i] - w[:, i] @ r_f, u[:, i] - w[:, i] @ r_s
        o_f = chunks.fast_gate[:, i] * (q[:, i] @ r_f + p[:, i] @ u_f)
        o_s = chunks.slow_gate[:, i] * (q[:, i] @ r_s + p[:, i] @ u_s)
        outputs.append(alpha[:, i] * o_f + (1 - alpha[:, i]) * o_s)
        s_f = s_f + k[:, i].mT @ u_f
        taken_up = k[:, i].mT @ u_s
        if options.surprise_threshold is not None:
            taken_up = torch.where(psi[:, i] > options.surprise_threshold, taken_up, 0)
        s_s = s_s + taken_up
        if options.cross_coupling:
            c, share = coupling[:, i], psi[:, i]
            s_f, s_s = s_f + c * share * s_s, s_s + c * (1 - share) * s_f
        if options.final_norm:
            s_f, s_s = _unit(s_f), _unit(s_s)
        present = tokens[:, i] > 0
        fast, slow = torch.where(present, s_f, fast), torch.where(present, s_s, slow)
    return torch.stack(outputs, dim=1), State(fast, slow)


def resonance_flux(k: Tensor, u: Tensor, tokens: Tensor, flux: Flux) -> Tensor:
    """psi: how well a chunk's keys match the values that are stored for them.

    With a weight per head, ``s`` is the mean over tokens t of ``(k_t W_h) · u_t / temp_h``. With a shared weight, it is
    the mean over all pairs of tokens (t, r) of ``(k_t W) · u_r / temp_h``, which is ``(mean(k) W) · mean(u) / temp_h``.

    Args:
        k, u: ``[..., H, C, D]``, zero in padded rows.
        tokens: ``[..., 1, 1, 1]``, the number of rows that are not padded.
        flux: the weights.

    Returns:
        ``[..., H, 1, 1]`` within :data:`PSI_RANGE`.
    """
    n = tokens.squeeze(-1).clamp(min=1)
    k_mean, u_mean = k.sum(-2) / n, u.sum(-2) / n  # [..., H, D]
    if flux.weight.ndim == 3:
        resonance = ((k @ flux.weight) * u).sum((-2, -1))[..., None] / n
    else:
        resonance = ((k_mean @ flux.weight) * u_mean).sum(-1, keepdim=True)
    features = torch.cat([k_mean, u_mean, resonance / flux.temperature[:, None]], dim=-1)
    inner = F.silu(F.linear(features, flux.in_weight, flux.in_bias))
    psi = F.linear(inner, flux.out_weight, flux.out_bias).sigmoid().clamp(*PSI_RANGE)
    return psi[..., None]


def _mean(x: Tensor, valid: Tensor, tokens: Tensor) -> Tensor:
    return torch.where(valid, x, 0).sum(-2, keepdim=True) / tokens.clamp(min=1)


def _unit(s: Tensor) -> Tensor:
    return s / (torch.linalg.matrix_norm(s, keepdim=True) + STATE_NORM_EPS)
