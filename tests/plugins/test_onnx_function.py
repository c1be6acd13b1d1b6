"""The ONNX function in ONNX Runtime, against the oracle in float64."""

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from lam_plugins.fused_delta_rule import OP_DOMAIN, naive, op_type
from lam_plugins.fused_delta_rule.onnx_function import FUNCTION_INPUTS, fused_delta_rule_function

HEADS = 3


def weights(head_size: int) -> dict[str, Tensor]:
    """conv_weight, conv_bias, norm_weight and blend, of the scales of a trained layer, in float64."""
    generator = torch.Generator().manual_seed(head_size)
    channels = 3 * HEADS * head_size
    conv_weight = 0.2 * torch.randn(channels, 4, generator=generator, dtype=torch.float64)
    conv_weight[:, 2] += 1
    return {
        "conv_weight": conv_weight,
        "conv_bias": 0.1 * torch.randn(channels, generator=generator, dtype=torch.float64),
        "norm_weight": 0.5 + torch.rand(head_size, generator=generator, dtype=torch.float64),
        "blend": torch.tensor([0.1, 0.9], dtype=torch.float64),
    }


def projected(batch: int, tokens: int, head_size: int, seed: int = 0) -> Tensor:
    hidden = HEADS * head_size
    width = -(-(4 * hidden + 3 * HEADS) // 64) * 64
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, tokens, width, generator=generator, dtype=torch.float64)


@cache
def session(head_size: int, chunk_size: int, opset: int = 20) -> onnxruntime.InferenceSession:
    function = fused_delta_rule_function(chunk_size, HEADS * head_size, opset)
    hidden = HEADS * head_size
    width = projected(1, 1, head_size).shape[-1]
    graph = helper.make_graph(
        [helper.make_node(function.name, FUNCTION_INPUTS, ["heads"], domain=OP_DOMAIN)],
        "one_operator",
        [
            helper.make_tensor_value_info("projected", TensorProto.FLOAT, ["batch", "tokens", width]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
        ],
        [helper.make_tensor_value_info("heads", TensorProto.FLOAT, ["batch", "tokens", hidden])],
        [numpy_helper.from_array(t.float().numpy(), name) for name, t in weights(head_size).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(OP_DOMAIN, 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, x: Tensor, lengths: list[int], hidden: int) -> np.ndarray:
    """The function's output, written over NaN."""
    output = onnxruntime.OrtValue.ortvalue_from_numpy(np.full((*x.shape[:2], hidden), np.nan, dtype=np.float32))
    binding = session.io_binding()
    inputs = {"projected": x.float().numpy(), "lengths": np.array(lengths, dtype=np.int32)}  # kept alive by this name
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    binding.bind_ortvalue_output("heads", output)
    session.run_with_iobinding(binding)
    return output.numpy().copy()


def assert_equals_naive(x: Tensor, lengths: list[int], head_size: int, chunk_size: int, opset: int = 20) -> None:
    # The oracle gets what the function gets: inputs rounded to float32.
    rounded = [t.float().double() for t in weights(head_size).values()]
    sizes = torch.tensor(lengths, dtype=torch.int32)
    expected = naive.fused_delta_rule(x.float().double(), sizes, *rounded, chunk_size).numpy()
    found = run(session(head_size, chunk_size, opset), x, lengths, HEADS * head_size).astype(np.float64)
    assert not np.isnan(found).any()
    for i, length in enumerate(lengths):
        assert (found[i, length:] == 0).all()
        if length:
            a, b = found[i, :length], expected[i, :length]
            assert np.abs(a - b).max() <= 1e-4
            assert np.linalg.norm(a - b) / np.linalg.norm(b) <= 1e-5
            heads_a, heads_b = a.reshape(-1, head_size), b.reshape(-1, head_size)
            norms = np.linalg.norm(heads_a, axis=1) * np.linalg.norm(heads_b, axis=1)
            assert ((heads_a * heads_b).sum(1) / norms).min() >= 0.99999


@pytest.mark.parametrize("tokens", [1, 2, 31, 63, 127, 128, 129, 300])
@pytest.mark.parametrize("head_size", [16, 32, 64])
def test_every_length_and_head_size(tokens: int, head_size: int) -> None:
    assert_equals_naive(projected(1, tokens, head_size), [tokens], head_size, 128)


@pytest.mark.parametrize("tokens", [1000, 2000])
def test_many_chunks(tokens: int) -> None:
    assert_equals_naive(projected(1, tokens, 32), [tokens], 32, 128)


@pytest.mark.parametrize("chunk_size", [1, 16, 32, 100, 256])
def test_every_chunk_size(chunk_size: int) -> None:
    assert_equals_naive(projected(2, 130, 32), [130, 77], 32, chunk_size)


@pytest.mark.parametrize("opset", range(18, 24))
def test_every_opset(opset: int) -> None:
    assert_equals_naive(projected(2, 40, 16), [40, 7], 16, 32, opset)


def test_padding_has_no_influence() -> None:
    lengths = [300, 1, 2, 127, 128, 129, 257, 0]
    x = projected(len(lengths), 300, 32)
    for i, length in enumerate(lengths):
        x[i, length:] = 1e4
    assert_equals_naive(x, lengths, 32, 128)


def test_one_token_repeated_with_beta_near_one() -> None:
    # The worst case of a product that is no inverse: u grows to 1e5 within a chunk.
    x = projected(1, 1, 32).repeat(1, 300, 1)
    x[..., 4 * HEADS * 32 : 4 * HEADS * 32 + HEADS] = 6.2  # sigmoid 0.998
    assert_equals_naive(x, [300], 32, 128)


def test_no_chunk_longer_than_the_text() -> None:
    """A text of one token costs no products of 128: seen in the shapes of the intermediate values."""
    function = fused_delta_rule_function(128, HEADS * 32, 20)
    names = [o for node in function.node if node.op_type == "MatMul" for o in node.output]
    del function.output[:]
    function.output.extend(names)
    graph = helper.make_graph(
        [helper.make_node(op_type(128), FUNCTION_INPUTS, names, domain=OP_DOMAIN)],
        "products",
        [
            helper.make_tensor_value_info("projected", TensorProto.FLOAT, ["batch", "tokens", 448]),
            helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(t.float().numpy(), name) for name, t in weights(32).items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(OP_DOMAIN, 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    runtime = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for tokens in (1, 5, 128):
        feed = {"projected": projected(1, tokens, 32).float().numpy(), "lengths": np.array([tokens], dtype=np.int32)}
        assert {max(p.shape[-2:]) for p in runtime.run(None, feed)} <= {tokens, max(tokens, 32)}
