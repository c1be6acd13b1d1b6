"""The dual-state operator that goes on from a place in the text: windows of a text give what the whole text does."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from dual_state import HEADS, OPTIONS, Case
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from lam_plugins.dual_state_delta_rule import Options, naive
from lam_plugins.dual_state_delta_rule.onnx_function import STREAM_FUNCTION_INPUTS, dual_state_delta_rule_function
from lam_plugins.fused_delta_rule import OP_DOMAIN

EVERY_OPTION = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
LAYOUTS = pytest.mark.parametrize("shared", [False, True], ids=["per-head", "shared"])
Window = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""The operator's tensors but the weights: projected, lengths, own, context and state, to heads and state."""


def in_windows(case: Case, run: Window, own_rows: int, ahead: int) -> tuple[Tensor, Tensor]:
    """The heads of the texts, and the state after them, window by window."""
    projected = case.projected.clone()
    hidden = 3 * (case.used - 5 * HEADS) // 4  # of q, k and v
    texts, tokens = projected.shape[:2]
    for text, length in enumerate(case.lengths.tolist()):
        projected[text, length:] = 0
    size = hidden // (3 * HEADS)
    context = projected.new_zeros(texts, 2, hidden)
    state = torch.zeros(texts, HEADS, 2, size, size, dtype=projected.dtype)
    found = []
    for start in range(0, tokens, own_rows):
        rows = projected[:, start : start + own_rows + ahead]
        lengths = (case.lengths - start).clamp(0, rows.shape[1]).int()
        own = (case.lengths - start).clamp(0, own_rows).int()
        heads, state = run(rows, lengths, own, context, state)
        found.append(heads[:, :own_rows])
        context = torch.cat([context, rows[..., :hidden]], dim=1)[:, own_rows : own_rows + 2]
    return torch.cat(found, dim=1), state


def naive_window(case: Case, chunk: int, options: Options) -> Window:
    *weights, flux = (*case.weights()[:4], naive.Flux(*case.weights()[4:]))
    return lambda *rows: naive.dual_state_delta_rule_stream(*rows, *weights, flux, chunk, options)


@EVERY_OPTION
@pytest.mark.parametrize("own_rows", [16, 32, 80])
@pytest.mark.parametrize("ahead", [1, 16])
def test_windows_of_the_oracle_are_the_whole(options: Options, own_rows: int, ahead: int) -> None:
    case = Case([150, 1, 16, 17, 33, 128], shared=True)
    found, _ = in_windows(case, naive_window(case, 16, options), own_rows, ahead)
    torch.testing.assert_close(found, case.run(16, options), rtol=0, atol=1e-12)


def test_look_ahead_is_not_in_the_state() -> None:
    case = Case([96, 64, 40])
    states = [in_windows(case, naive_window(case, 32, Options()), 32, ahead)[1] for ahead in (1, 32, 64)]
    for state in states[1:]:
        torch.testing.assert_close(state, states[0], rtol=0, atol=1e-13)


def test_the_torch_operator_is_the_oracle() -> None:
    case = Case([70, 33])
    options = Options(surprise_threshold=0.75)
    state = torch.randn(2, HEADS, 2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    context = case.projected[:, :2, : 3 * HEADS * 16].contiguous()
    rows = (case.projected, case.lengths, torch.tensor([32, 33], dtype=torch.int32), context, state)
    expected = naive_window(case, 32, options)(*rows)
    found = torch.ops.lam.dual_state_delta_rule_stream(*rows, *case.weights(), 32, True, True, True, 0.75)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def model_of(case: Case, chunk: int, options: Options) -> onnx.ModelProto:
    """One node of the operator, whose weights are the case's."""
    names = list(STREAM_FUNCTION_INPUTS)
    weights = dict(zip(names[5:], case.weights(torch.float32), strict=True))
    size = len(weights["norm_weight"])
    hidden = HEADS * size
    shared = weights["flux_weight"].ndim == 2
    function = dual_state_delta_rule_function(chunk, hidden, size, 20, options, shared_flux=shared, stream=True)
    kinds = {"lengths": TensorProto.INT32, "own": TensorProto.INT32}
    shapes = {
        "projected": ["batch", "tokens", case.projected.shape[2]],
        "lengths": ["batch"],
        "own": ["batch"],
        "context": ["batch", 2, 3 * hidden],
        "state": ["batch", HEADS, 2, size, size],
    }
    graph = helper.make_graph(
        [helper.make_node(function.name, names, ["heads", "after"], domain=OP_DOMAIN)],
        "one_operator",
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), shape) for n, shape in shapes.items()],
        [
            helper.make_tensor_value_info("heads", TensorProto.FLOAT, ["batch", "tokens", hidden]),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, shapes["state"]),
        ],
        [numpy_helper.from_array(t.numpy(), name) for name, t in weights.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(OP_DOMAIN, 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def onnx_window(case: Case, chunk: int, options: Options) -> Window:
    model = model_of(case, chunk, options).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = list(STREAM_FUNCTION_INPUTS)[:5]

    def run(*rows: Tensor) -> tuple[Tensor, Tensor]:
        arrays = [(t.float() if t.is_floating_point() else t).numpy() for t in rows]
        heads, state = session.run(None, dict(zip(names, arrays, strict=True)))
        return torch.from_numpy(heads), torch.from_numpy(state)

    return run


@LAYOUTS
@EVERY_OPTION
@pytest.mark.parametrize("own_rows", [32, 64])
def test_windows_in_onnx_are_the_whole(options: Options, shared: bool, own_rows: int) -> None:
    case = Case([200, 1, 31, 32, 33, 129, 0], shared=shared)
    case.projected = case.projected.float().double()
    found, state = in_windows(case, onnx_window(case, 32, options), own_rows, ahead=32)
    expected, expected_state = in_windows(case, naive_window(case, 32, options), own_rows, ahead=32)
    torch.testing.assert_close(expected, case.run(32, options), rtol=0, atol=1e-12)
    for text, length in enumerate(case.lengths.tolist()):
        assert not found[text, length:].any()
    assert (found.double() - expected).norm() <= 5e-6 * expected.norm()
    assert (state.double() - expected_state).norm() <= 5e-6 * expected_state.norm()


def test_two_thousand_tokens_in_windows_do_not_drift() -> None:
    case = Case([2000], 32)
    case.projected = case.projected.float().double()
    found, _ = in_windows(case, onnx_window(case, 32, Options()), 96, ahead=32)
    expected = case.run(32)
    assert np.abs(found.numpy() - expected.numpy()).max() <= 5e-5
    error = (found.double() - expected).unfold(1, 32, 32).norm(dim=(2, 3)) / expected.unfold(1, 32, 32).norm(dim=(2, 3))
    assert error[0, -10:].median() <= 4 * error[0, 1:11].median()
