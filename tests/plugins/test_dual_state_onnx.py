"""The dual-state ONNX function, with its loop, in ONNX Runtime and OpenVINO, against the oracle in float64."""

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest
import torch
from dual_state import HEADS, OPTIONS, Case, oracle
from onnx import TensorProto, helper, numpy_helper

from lam_plugins.dual_state_delta_rule import Options
from lam_plugins.dual_state_delta_rule.onnx_function import FUNCTION_INPUTS, dual_state_delta_rule_function
from lam_plugins.fused_delta_rule import OP_DOMAIN

LAYOUTS = pytest.mark.parametrize("shared", [False, True], ids=["per-head", "shared"])


def model_of(case: Case, chunk: int, options: Options = Options(), opset: int = 20) -> onnx.ModelProto:
    """One node of the operator, whose weights are the case's."""
    weights = dict(zip(list(FUNCTION_INPUTS)[2:], case.weights(torch.float32), strict=True))
    size = len(weights["norm_weight"])
    shared = weights["flux_weight"].ndim == 2
    function = dual_state_delta_rule_function(chunk, HEADS * size, size, opset, options, shared_flux=shared)
    width = case.projected.shape[2]
    graph = helper.make_graph(
        [helper.make_node(function.name, list(FUNCTION_INPUTS), ["heads"], domain=OP_DOMAIN)],
        "one_operator",
        [
            helper.make_tensor_value_info("projected", TensorProto.FLOAT, ["batch", "tokens", width]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
        ],
        [helper.make_tensor_value_info("heads", TensorProto.FLOAT, ["batch", "tokens", HEADS * size])],
        [numpy_helper.from_array(t.numpy(), name) for name, t in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(OP_DOMAIN, 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, case: Case) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"projected": case.projected.float().numpy(), "lengths": case.lengths.numpy()})[0]


def assert_equal(found: np.ndarray, case: Case, chunk: int, options: Options = Options()) -> None:
    # The oracle gets what the function gets: inputs rounded to float32.
    rounded = tuple(t.double() if t.is_floating_point() else t for t in case.arguments(torch.float32))
    expected = oracle(rounded, chunk, options).numpy()
    assert np.isfinite(found).all()
    for text, length in enumerate(case.lengths.tolist()):
        assert not found[text, length:].any()
    assert np.abs(found - expected).max() <= 5e-5
    assert np.linalg.norm(found - expected) <= 5e-6 * np.linalg.norm(expected)


@LAYOUTS
@pytest.mark.parametrize("tokens", [1, 5, 31, 32, 33, 127, 128, 129, 300])
def test_every_length(tokens: int, shared: bool) -> None:
    case = Case([tokens], 32, shared=shared)
    assert_equal(run(model_of(case, 32), case), case, 32)


@LAYOUTS
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option(options: Options, shared: bool) -> None:
    case = Case([100, 33], shared=shared)
    assert_equal(run(model_of(case, 32, options), case), case, 32, options)


@pytest.mark.parametrize("opset", range(18, 24))
def test_every_opset(opset: int) -> None:
    case = Case([40, 7])
    assert_equal(run(model_of(case, 16, opset=opset), case), case, 16)


@pytest.mark.parametrize("chunk", [1, 16, 100])
def test_every_chunk_size(chunk: int) -> None:
    case = Case([90, 50])
    assert_equal(run(model_of(case, chunk), case), case, chunk)


@LAYOUTS
def test_padding_has_no_influence(shared: bool) -> None:
    case = Case([200, 1, 2, 31, 32, 33, 0], shared=shared)
    for text, length in enumerate(case.lengths.tolist()):
        case.projected[text, length:] = 1e4
    assert_equal(run(model_of(case, 32), case), case, 32)


def test_two_thousand_tokens_do_not_drift() -> None:
    case = Case([2000], 32)
    found = run(model_of(case, 32), case)
    assert_equal(found, case, 32)
    expected = oracle(tuple(t.double() for t in case.arguments(torch.float32)), 32).numpy()
    errors = [
        np.linalg.norm(found[0, i : i + 32] - expected[0, i : i + 32]) / np.linalg.norm(expected[0, i : i + 32])
        for i in range(0, 2000, 32)
    ]
    assert np.median(errors[-10:]) <= 4 * np.median(errors[1:11])


@pytest.mark.needs("openvino")
@LAYOUTS
def test_in_openvino(shared: bool) -> None:
    from lam_engines.runtimes.openvino.library import core

    case = Case([100, 1, 33], 32, shared=shared)
    model = onnx.inliner.inline_local_functions(model_of(case, 32))
    graph = core().read_model(model.SerializeToString())
    compiled = core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({"projected": case.projected.float().numpy(), "lengths": case.lengths.numpy()})[0]
    assert_equal(found, case, 32)
