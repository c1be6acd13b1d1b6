"""The Triton kernel in Triton's interpreter, against the oracle in float64."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from delta_rule import TOLERANCE, Case, columns, exactly, relative_error
from interpreted import interpreter, run
from torch import Tensor

from lam_plugins.fused_delta_rule import naive

pytestmark = [pytest.mark.heavy, pytest.mark.needs("triton")]


BOTH = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda d: str(d).removeprefix("torch."))

Kernel = Callable[..., Tensor]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with interpreter() as pool:

        def call(*arguments: object) -> Tensor:
            return _result(pool, *arguments)

        yield call


def _result(pool: ProcessPoolExecutor, *arguments: object) -> Tensor:
    return pool.submit(run, *arguments).result(timeout=120)


@BOTH
@pytest.mark.parametrize(
    ("lengths", "head_size", "chunk"),
    [
        *(([length], 32, 128) for length in (1, 2, 31, 63, 127, 128, 129, 300)),
        ([129, 2], 16, 128),
        ([129, 2], 64, 128),
        ([63, 31], 16, 32),
        ([63, 31], 64, 16),
        ([100], 32, 48),  # a chunk that is no multiple of the variant's block
    ],
)
def test_equals_the_oracle(kernel: Kernel, lengths: list[int], head_size: int, chunk: int, dtype: torch.dtype) -> None:
    arguments = Case(lengths, head_size).arguments(dtype)
    assert relative_error(kernel(arguments, chunk), exactly(arguments, chunk)) <= TOLERANCE[dtype]


@BOTH
@pytest.mark.parametrize("variant", ["rows16", "rows32", "rows64"])
def test_every_variant(kernel: Kernel, variant: str, dtype: torch.dtype) -> None:
    arguments = Case([130, 70], 32).arguments(dtype)
    assert relative_error(kernel(arguments, 128, variant), exactly(arguments, 128)) <= TOLERANCE[dtype]


@BOTH
def test_padded_rows_are_zero_and_never_read(kernel: Kernel, dtype: torch.dtype) -> None:
    case = Case([70, 5, 0, 32], 16)
    exact = exactly(case.arguments(dtype), 32)
    used = 4 * len(case.conv_bias) // 3 + 6
    case.projected[..., used:] = float("nan")  # alignment
    for i, length in enumerate(case.lengths.tolist()):
        case.projected[i, length:] = float("nan")
    found = kernel(case.arguments(dtype), 32)
    assert relative_error(found, exact) <= TOLERANCE[dtype]
    for i, length in enumerate(case.lengths.tolist()):
        assert not found[i, length:].any()


@pytest.mark.parametrize("size", [1e-6, 1.0, 1000.0])
def test_a_repeated_word_with_beta_near_one_in_half_precision(kernel: Kernel, size: float) -> None:
    case = Case([256], 32)
    _, _, v, beta = columns(case)
    case.projected[:] = case.projected[:, :1]
    case.projected[..., beta] = 6.2
    case.projected[..., v] *= size
    arguments = case.arguments(torch.float16)
    if size == 1.0:  # the same in plain half precision passes its range
        assert not naive.fused_delta_rule(*arguments, 128).isfinite().all()
    assert relative_error(kernel(arguments, 128), exactly(arguments, 128)) <= TOLERANCE[torch.float16]


def test_values_that_grow_within_a_chunk(kernel: Kernel) -> None:
    # The common scale of v has to follow, and must not hurt what came before.
    case = Case([128], 32)
    _, _, v, _ = columns(case)
    case.projected[..., v] *= torch.logspace(-3, 3, 128, dtype=torch.float64)[None, :, None]
    arguments = case.arguments(torch.float16)
    found, exact = kernel(arguments, 128), exactly(arguments, 128)
    for part, exact_part in zip(found.split(32, 1), exact.split(32, 1), strict=True):
        assert relative_error(part, exact_part) <= TOLERANCE[torch.float16]


@pytest.mark.parametrize("size", [1e-3, 6e-8])
def test_tiny_queries_and_keys_in_half_precision(kernel: Kernel, size: float) -> None:
    # Their squares are 0 in half precision, and so is the norm's epsilon.
    case = Case([40], 16)
    q, k, _, _ = columns(case)
    case.conv_bias[: 2 * len(case.conv_bias) // 3] = 0
    for part in (q, k):
        case.projected[..., part] = size * case.projected[..., part].sign()
    arguments = case.arguments(torch.float16)
    assert relative_error(kernel(arguments, 32), exactly(arguments, 32)) <= TOLERANCE[torch.float16]


@BOTH
def test_zero_rows_give_zeros_not_nan(kernel: Kernel, dtype: torch.dtype) -> None:
    case = Case([40], 16)
    case.projected[:] = 0
    case.conv_bias[:] = 0
    assert not kernel(case.arguments(dtype), 16).any()


def test_weights_at_an_odd_address(kernel: Kernel) -> None:
    projected, lengths, conv_weight, *rest = Case([20], 16).arguments(torch.float16)
    moved = torch.cat([conv_weight.new_zeros(1), conv_weight.flatten()])[1:].view_as(conv_weight)
    assert moved.data_ptr() % 8
    arguments = (projected, lengths, moved, *rest)
    assert relative_error(kernel(arguments, 16), exactly(arguments, 16)) <= TOLERANCE[torch.float16]


@pytest.mark.parametrize(
    ("head_size", "chunk", "dtype"), [(8, 32, torch.half), (16, 24, torch.half), (16, 32, torch.double)]
)
def test_sizes_and_dtypes_that_it_has_not(kernel: Kernel, head_size: int, chunk: int, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="found"):
        kernel(Case([9], head_size).arguments(dtype), chunk)


def test_an_empty_batch(kernel: Kernel) -> None:
    projected, lengths, *rest = Case([9], 16).arguments(torch.float16)
    assert kernel((projected[:0], lengths[:0], *rest), 16).shape == (0, 9, 32)
    assert kernel((projected[:, :0], lengths * 0, *rest), 16).shape == (1, 0, 32)
