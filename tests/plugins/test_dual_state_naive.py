"""The oracle of the dual-state delta rule, against the formulas by hand, and against its own promises."""

from dataclasses import asdict

import by_hand_forms
import numpy as np
import pytest
import torch
from dual_state import HEADS, OPTIONS, Case, oracle
from torch import Tensor

from lam_plugins.dual_state_delta_rule import Options, naive, op_type, torch_op
from lam_plugins.fused_delta_rule.naive import convolve, to_chunks, valid_rows


@pytest.mark.parametrize("shared", [False, True], ids=["per-head", "shared"])
@pytest.mark.parametrize("length", [1, 5, 31, 32, 33, 64, 100])
def test_equals_the_formulas_by_hand(length: int, shared: bool) -> None:
    case = Case([length], shared=shared)
    expected = case.by_hand(0)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(case.run()[0].numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True], ids=["per-head", "shared"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option_equals_the_formulas_by_hand(options: Options, shared: bool) -> None:
    case = Case([75], shared=shared)
    found = case.run(16, options)[0].numpy()
    np.testing.assert_allclose(found, case.by_hand(0, 16, **asdict(options)), rtol=0, atol=1e-12)
    if options != Options():
        assert np.abs(found - case.run(16)[0].numpy()).max() > 1e-3, "the option does something"


def test_psi_varies_between_heads_and_chunks() -> None:
    """Else the tests above would say little about it."""
    case = Case([64, 64])
    arrays = {name: t.numpy() for name, t in case.tensors.items()}
    psi = []
    for x in case.x.numpy():
        for head in range(HEADS):
            values = by_hand_forms.head_values(arrays, "", x, head)
            for start in (0, 32):
                k, kb, v = (values[name][start : start + 32] for name in ("k", "kb", "v"))
                psi.append(by_hand_forms.flux(arrays, "", head, k, by_hand_forms.solve(k, kb, v)[0]))
    assert max(psi) - min(psi) > 0.3
    assert min(psi) < 0.75 < max(psi)


@pytest.mark.parametrize("chunk", [1, 7, 16, 128])
def test_any_chunk_size(chunk: int) -> None:
    case = Case([40])
    np.testing.assert_allclose(case.run(chunk)[0].numpy(), case.by_hand(0, chunk), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True], ids=["per-head", "shared"])
def test_each_text_of_a_batch_is_as_if_alone(shared: bool) -> None:
    case = Case([129, 1, 40, 0, 64], shared=shared)
    out = case.run()
    for i, length in enumerate(case.lengths.tolist()):
        alone = (case.projected[i : i + 1, : max(length, 1)], case.lengths[i : i + 1], *case.weights())
        torch.testing.assert_close(out[i, :length], oracle(alone, 32)[0, :length], rtol=0, atol=1e-12)


def test_padded_rows_are_zero_and_never_read() -> None:
    case = Case([70, 5, 0])
    expected = case.run()
    case.projected[..., case.used :] = float("nan")
    for i, length in enumerate(case.lengths.tolist()):
        assert not expected[i, length:].any()
        case.projected[i, length:] = float("nan")
    assert torch.equal(case.run(), expected)


def test_the_state_crosses_chunks_and_looks_back_only() -> None:
    case = Case([96])
    before = case.run()
    case.projected[:, 40:] += 1.0
    after = case.run()
    torch.testing.assert_close(after[:, :32], before[:, :32], rtol=0, atol=1e-12)
    assert not torch.allclose(after[:, 64:], before[:, 64:], atol=1e-3)
    case = Case([96])
    case.projected[:, :20] += 1.0  # no convolution reaches from here into the last chunk
    assert not torch.allclose(case.run()[:, 64:], before[:, 64:], atol=1e-3)


def chunks_of(case: Case, chunk: int = 16) -> naive.Chunks:
    """What the rule reads, cut into chunks."""
    _, lengths, conv_weight, conv_bias, norm_weight, decay_bias, *_ = case.arguments()
    hidden, size = len(conv_bias) // 3, len(norm_weight)
    valid = valid_rows(lengths, case.projected.shape[1])
    projected = torch.where(valid, case.projected, 0)
    convolved = convolve(projected[..., : 3 * hidden], conv_weight, conv_bias)
    q, k, v = convolved.unflatten(-1, (3 * HEADS, size)).chunk(3, dim=2)
    scalars = projected[..., 4 * hidden : 4 * hidden + 5 * HEADS]
    scalars[..., 3 * HEADS :] += decay_bias
    parts = (q, k, v, *scalars.sigmoid()[..., None].chunk(5, dim=2), valid[..., None])
    return naive.Chunks(*(to_chunks(part, chunk) for part in parts))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_text_in_pieces_is_the_text_at_once(options: Options) -> None:
    case = Case([90, 33])
    chunks, flux = chunks_of(case), naive.Flux(*case.weights()[4:])
    at_once, last = naive.recurrent_rule(chunks, flux, options, naive.State.zero(chunks.q))
    state, pieces = naive.State.zero(chunks.q), []
    for cut in (slice(0, 2), slice(2, 3), slice(3, None)):
        o, state = naive.recurrent_rule(naive.Chunks(*(c[:, cut] for c in chunks)), flux, options, state)
        pieces.append(o)
    torch.testing.assert_close(torch.cat(pieces, dim=1), at_once, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-12)


def test_the_state_is_that_of_the_formulas_and_padding_leaves_it_alone() -> None:
    case = Case([90, 33])
    chunks, flux = chunks_of(case), naive.Flux(*case.weights()[4:])
    _, state = naive.recurrent_rule(chunks, flux, Options(), naive.State.zero(chunks.q))
    arrays = {name: t.numpy() for name, t in case.tensors.items()}
    for i, length in enumerate([90, 33]):
        _, states = by_hand_forms.recurrent_heads(arrays, "", case.x[i, :length].numpy(), 16)
        for head, (fast, slow) in enumerate(states):
            np.testing.assert_allclose(state.fast[i, head].numpy(), fast, rtol=0, atol=1e-12)
            np.testing.assert_allclose(state.slow[i, head].numpy(), slow, rtol=0, atol=1e-12)


def test_float32_is_close_to_float64_and_does_not_drift() -> None:
    case = Case([40 * 32], 32)
    exact, found = case.run(), case.run(dtype=torch.float32).double()
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(found.split(32, 1), exact.split(32, 1), strict=True)]
    assert max(errors) < 5e-6
    assert errors[39] < 4 * errors[1]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_op_equals_naive(options: Options) -> None:
    case = Case([50, 7, 0])
    for dtype in (torch.float32, torch.float64):
        out = torch.ops.lam.dual_state_delta_rule(*case.arguments(dtype), 32, *asdict(options).values())
        assert out.dtype == dtype
        assert torch.equal(out, case.run(options=options, dtype=dtype))


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_op_passes_opcheck(threshold: float | None) -> None:
    arguments = (*Case([33, 20]).arguments(torch.float32), 8, True, True, True, threshold)
    torch.library.opcheck(torch_op.dual_state_delta_rule, arguments)


def test_op_computes_half_precision_in_float32() -> None:
    arguments = Case([50, 7]).arguments(torch.float16)
    out = torch.ops.lam.dual_state_delta_rule(*arguments, 32, *asdict(Options()).values())
    assert out.dtype == torch.float16
    wide: tuple[Tensor, ...] = tuple(t.float() if t.is_floating_point() else t for t in arguments)
    assert torch.equal(out, oracle(wide, 32).half())


def test_op_types_tell_functions_apart() -> None:
    names = {op_type(c, o, shared_flux=s) for c in (16, 32) for o in OPTIONS.values() for s in (False, True)}
    assert len(names) == 2 * len(OPTIONS) * 2
    assert all(name.isidentifier() for name in names)
    assert op_type(32, Options(), shared_flux=False) == "DualStateDeltaRule_c32"
