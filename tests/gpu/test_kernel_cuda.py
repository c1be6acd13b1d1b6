"""The Triton kernel on a CUDA device, against the oracle in float64."""

import pytest
import torch
from delta_rule import TOLERANCE, Case, columns, exactly, relative_error

from lam_plugins.fused_delta_rule import naive, torch_op  # noqa: F401  (registers the operator)

pytestmark = [pytest.mark.gpu, pytest.mark.needs("cuda")]


def on_device(case: Case, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    return tuple(t.cuda() for t in case.arguments(dtype))


def poisoned(arguments: tuple[torch.Tensor, ...]) -> torch.Tensor:
    projected, _, _, conv_bias, *_ = arguments
    return projected.new_full((*projected.shape[:2], conv_bias.shape[0] // 3), float("nan"))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("head_size", [16, 32, 64])
@pytest.mark.parametrize("length", [1, 2, 31, 63, 127, 128, 129, 300, 32_768])
def test_equals_the_oracle(length: int, head_size: int, dtype: torch.dtype) -> None:
    from lam_plugins.fused_delta_rule import kernel

    arguments = on_device(Case([length, max(1, length // 3)], head_size), dtype)
    found = kernel.fused_delta_rule(*arguments, 128, None, poisoned(arguments))
    assert relative_error(found, exactly(arguments, 128)) <= TOLERANCE[dtype]
    assert not found[1, max(1, length // 3) :].any()


@pytest.mark.parametrize("variant", ["rows16", "rows32", "rows64"])
@pytest.mark.parametrize("chunk", [16, 48, 64, 128])
def test_every_variant(variant: str, chunk: int) -> None:
    from lam_plugins.fused_delta_rule import kernel

    arguments = on_device(Case([300, 0, 77], 32, heads=12), torch.float16)
    found = kernel.fused_delta_rule(*arguments, chunk, variant, poisoned(arguments))
    assert relative_error(found, exactly(arguments, chunk)) <= TOLERANCE[torch.float16]


def test_a_repeated_word_with_beta_near_one() -> None:
    case = Case([256], 32)
    _, _, _, beta = columns(case)
    case.projected[:] = case.projected[:, :1]
    case.projected[..., beta] = 6.2
    arguments = on_device(case, torch.float16)
    found = torch.ops.lam.fused_delta_rule(*arguments, 128)
    assert relative_error(found, exactly(arguments, 128)) <= TOLERANCE[torch.float16]


@pytest.mark.parametrize(
    ("head_size", "chunk", "dtype"), [(8, 32, torch.float32), (16, 24, torch.float32), (16, 32, torch.float64)]
)
def test_the_op_falls_back_to_the_oracle(head_size: int, chunk: int, dtype: torch.dtype) -> None:
    arguments = on_device(Case([50, 7], head_size), dtype)
    found = torch.ops.lam.fused_delta_rule(*arguments, chunk)
    torch.testing.assert_close(found, naive.fused_delta_rule(*arguments, chunk), rtol=0, atol=0)


def test_the_op_in_a_cuda_graph_and_in_torch_compile() -> None:
    case = Case([300], 32, heads=12)
    arguments = on_device(case, torch.float16)
    expected = torch.ops.lam.fused_delta_rule(*arguments, 128)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = torch.ops.lam.fused_delta_rule(*arguments, 128)
    captured.fill_(float("nan"))
    graph.replay()
    assert torch.equal(captured, expected)
    compiled = torch.compile(lambda *a: torch.ops.lam.fused_delta_rule(*a, 128), fullgraph=True)
    assert torch.equal(compiled(*arguments), expected)
