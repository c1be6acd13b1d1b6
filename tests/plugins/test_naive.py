"""The oracle of the fused delta rule, against the maths written out by hand, and against its own promises."""

import numpy as np
import pytest
import torch
from delta_rule import HEADS, Case
from torch import Tensor

from lam_plugins.fused_delta_rule import naive, torch_op


@pytest.mark.parametrize("chunk", [16, 32, 128])
@pytest.mark.parametrize("head_size", [16, 32, 64])
@pytest.mark.parametrize("length", [1, 2, 31, 63, 127, 128, 129, 300])
def test_equals_the_formulas_by_hand(length: int, head_size: int, chunk: int) -> None:
    case = Case([length], head_size)
    expected = case.by_hand(0, chunk)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(case.run(chunk)[0].numpy(), expected, rtol=0, atol=1e-10)


def test_chunk_size_need_not_be_a_power_of_two() -> None:
    case = Case([11], 16)
    np.testing.assert_allclose(case.run(3)[0].numpy(), case.by_hand(0, 3), rtol=0, atol=1e-12)


def test_each_text_of_a_batch_is_as_if_alone() -> None:
    case = Case([129, 1, 40, 0, 64], 16)
    out = case.run(32)
    for i, length in enumerate(case.lengths.tolist()):
        alone = naive.fused_delta_rule(
            case.projected[i : i + 1, : max(length, 1)], case.lengths[i : i + 1], *case.arguments()[2:], 32
        )
        torch.testing.assert_close(out[i, :length], alone[0, :length], rtol=0, atol=1e-12)


def test_padded_rows_are_zero_and_never_read() -> None:
    case = Case([70, 5, 0], 16)
    expected = case.run(32)
    for i, length in enumerate(case.lengths.tolist()):
        assert not expected[i, length:].any()
        case.projected[i, length:] = float("nan")
    assert torch.equal(case.run(32), expected)


def test_alignment_columns_are_not_read() -> None:
    case = Case([40], 16)
    expected = case.run(32)
    used = 4 * len(case.conv_bias) // 3 + 3 * HEADS
    assert used < case.projected.shape[2]
    case.projected[..., used:] = float("nan")
    assert torch.equal(case.run(32), expected)


@pytest.mark.parametrize("t", [0, 14, 30, 31, 32, 62])
def test_a_token_sees_the_next_one_and_none_after(t: int) -> None:
    case = Case([65], 16)
    before = case.run(32)
    case.projected[:, t + 2 :] += 1.0
    after = case.run(32)
    torch.testing.assert_close(after[:, : t + 1], before[:, : t + 1], rtol=0, atol=1e-12)
    assert not torch.allclose(after[:, t + 2 :], before[:, t + 2 :], atol=1e-3)
    # The look ahead of one token is real, too.
    assert not torch.allclose(after[:, t + 1], before[:, t + 1], atol=1e-3)


def test_nothing_but_the_convolution_crosses_chunks() -> None:
    case = Case([96], 16)
    before = case.run(32)
    case.projected[:, :30] += 1.0  # tokens 32 and later convolve 30 and later
    after = case.run(32)
    torch.testing.assert_close(after[:, 32:], before[:, 32:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk", [32, 128])
def test_float32_is_close_to_float64(chunk: int) -> None:
    case = Case([300, 17, 128], 32)
    exact = case.run(chunk)
    error = (case.run(chunk, torch.float32).double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert error < 2e-6


def test_a_repeated_token_stays_finite() -> None:
    # T is no true inverse: with beta near 1 and equal keys u grows with the square of the chunk.
    case = Case([256], 32)
    case.projected[:] = case.projected[:, :1]
    hidden = len(case.conv_bias) // 3
    case.projected[..., 4 * hidden : 4 * hidden + HEADS] = 6.0
    exact = case.run(128)
    out = case.run(128, torch.float32)
    assert out.isfinite().all()
    torch.testing.assert_close(out.double(), exact, rtol=0, atol=1e-3)


def test_zero_rows_give_zeros_not_nan() -> None:
    case = Case([20], 16)
    case.projected[:] = 0
    case.conv_bias[:] = 0
    assert not case.run(16).any()


@pytest.mark.parametrize("scale", [1e-3, 1e-7, 1e-14])
def test_tiny_queries_and_keys_are_brought_to_unit_length(scale: float) -> None:
    case = Case([20], 16)
    hidden = len(case.conv_bias) // 3
    case.conv_bias[: 2 * hidden] = 0
    case.projected[..., : 2 * hidden] *= scale  # the last of them falls below the norm's epsilon
    np.testing.assert_allclose(case.run(16)[0].numpy(), case.by_hand(0, 16), rtol=0, atol=1e-10)


def test_op_equals_naive() -> None:
    case = Case([50, 7, 0], 16)
    for dtype in (torch.float32, torch.float64):
        out = torch.ops.lam.fused_delta_rule(*case.arguments(dtype), 32)
        assert out.dtype == dtype
        assert torch.equal(out, case.run(32, dtype))


@pytest.mark.parametrize(("lengths", "heads"), [([9], 1), ([5], 2), ([33, 20], 2)])
def test_op_passes_opcheck(lengths: list[int], heads: int) -> None:
    case = Case(lengths, 8, heads)
    torch.library.opcheck(torch_op.fused_delta_rule, (*case.arguments(torch.float32), 8))


def test_op_passes_opcheck_in_training() -> None:
    case = Case([33, 20], 8)
    projected, lengths, *rest = case.arguments(torch.float32)
    trained = [t.requires_grad_() for t in (projected, *rest[:3])]
    # Without test_aot_dispatch_dynamic: it takes the compiler a quarter of a minute with gradients.
    checks = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    arguments = (trained[0], lengths, *trained[1:], rest[3], 8)
    torch.library.opcheck(torch_op.fused_delta_rule, arguments, test_utils=checks)


def test_op_gradients() -> None:
    case = Case([5, 3], 4, heads=2)
    projected, lengths, *rest = case.arguments()
    floats = [t.requires_grad_() for t in (projected, *rest)]
    # Fast mode compares random directions through all inputs at once, instead of each entry of each input.
    assert torch.autograd.gradcheck(
        lambda p, *r: torch.ops.lam.fused_delta_rule(p, lengths, *r, 3), floats, fast_mode=True
    )


def test_op_gradients_ignore_padding() -> None:
    case = Case([5, 3], 4)
    case.projected[1, 3:] = float("nan")
    projected, lengths, *rest = case.arguments()
    projected.requires_grad_()
    rest[0].requires_grad_()
    torch.ops.lam.fused_delta_rule(projected, lengths, *rest, 4).sum().backward()
    assert projected.grad is not None
    assert rest[0].grad is not None
    assert projected.grad.isfinite().all()
    assert rest[0].grad.isfinite().all()
    assert not projected.grad[1, 3:].any()


def test_op_computes_in_float32_under_autocast() -> None:
    case = Case([40], 16)
    arguments = list(case.arguments(torch.float32))
    arguments[0] = arguments[0].bfloat16()
    exact = naive.fused_delta_rule(arguments[0].float(), *arguments[1:], 32)
    projected = arguments[0].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = torch.ops.lam.fused_delta_rule(projected, *arguments[1:], 32)
        out.sum().backward()
    assert torch.equal(out, exact)

    reference = arguments[0].float().requires_grad_()
    naive.fused_delta_rule(reference, *arguments[1:], 32).sum().backward()
    assert projected.grad is not None
    assert reference.grad is not None
    assert torch.equal(projected.grad, reference.grad.bfloat16())


def test_op_is_one_node_of_a_trace_with_dynamic_shapes() -> None:
    class Module(torch.nn.Module):
        def forward(self, projected: Tensor, lengths: Tensor) -> Tensor:
            return torch.ops.lam.fused_delta_rule(projected, lengths, *rest, 16)

    case = Case([40, 9], 16)
    projected, lengths, *rest = case.arguments(torch.float32)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    program = torch.export.export(
        Module(), (projected, lengths), dynamic_shapes=({0: batch, 1: tokens}, {0: batch}), strict=False
    )
    calls = [n for n in program.graph.nodes if n.op == "call_function" and "fused_delta_rule" in str(n.target)]
    assert len(calls) == 1
    other = Case([100, 3, 41], 16, seed=1)
    out = program.module()(other.projected.float(), other.lengths)
    expected = naive.fused_delta_rule(other.projected.float(), other.lengths, *rest, 16)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)
