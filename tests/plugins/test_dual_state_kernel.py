"""The dual-state Triton kernels in Triton's interpreter, against the oracle in float64; and compiled for GPUs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from delta_rule import relative_error
from dual_state import Case, oracle
from interpreted import interpreter, run_dual_state
from torch import Tensor

from lam_plugins.aot import DualStateDeltaRuleBuild, compile_kernel
from lam_plugins.dual_state_delta_rule import Options

pytestmark = [pytest.mark.heavy, pytest.mark.needs("triton")]


TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3}
BOTH = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda d: str(d).removeprefix("torch."))

Kernel = Callable[..., Tensor]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with interpreter() as pool:

        def call(*arguments: object) -> Tensor:
            return pool.submit(run_dual_state, *arguments).result(timeout=600)

        yield call


def exactly(arguments: tuple[Tensor, ...], chunk: int, options: Options = Options()) -> Tensor:
    """The oracle in float64, of the arguments as they are after rounding."""
    return oracle(tuple(t.double() if t.is_floating_point() else t for t in arguments), chunk, options)


@BOTH
@pytest.mark.parametrize(
    ("lengths", "head_size", "chunk", "shared"),
    [([70, 5, 0, 33], 16, 32, False), ([65], 32, 32, True), ([40], 64, 16, False), ([100], 16, 64, False)],
)
def test_equals_the_oracle(
    kernel: Kernel, lengths: list[int], head_size: int, chunk: int, shared: bool, dtype: torch.dtype
) -> None:
    case = Case(lengths, head_size, shared=shared)
    exact = exactly(case.arguments(dtype), chunk)
    case.projected[..., case.used :] = float("nan")  # alignment
    for text, length in enumerate(lengths):
        case.projected[text, length:] = float("nan")
    found = kernel(case.arguments(dtype), chunk)
    assert relative_error(found, exact) <= TOLERANCE[dtype]
    for text, length in enumerate(lengths):
        assert not found[text, length:].any()


@pytest.mark.parametrize(
    "options",
    [Options(False), Options(final_norm=False), Options(readout_norm=False), Options(surprise_threshold=0.75)],
    ids=["uncoupled", "unnormed", "raw readout", "surprise"],
)
def test_every_option(kernel: Kernel, options: Options) -> None:
    arguments = Case([60]).arguments(torch.float32)
    assert relative_error(kernel(arguments, 16, options), exactly(arguments, 16, options)) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, pytest.param(torch.float32, marks=pytest.mark.slow)], ids=str)
def test_forty_chunks_without_drift(kernel: Kernel, dtype: torch.dtype) -> None:
    arguments = Case([40 * 32], 16, heads=1).arguments(dtype)
    found, exact = kernel(arguments, 32), exactly(arguments, 32)
    assert relative_error(found, exact) <= TOLERANCE[dtype]
    errors = [relative_error(a, b) for a, b in zip(found.split(32, 1), exact.split(32, 1), strict=True)]
    assert errors[39] <= 4 * errors[1]


def test_one_word_repeated_with_beta_near_one_in_half_precision(kernel: Kernel) -> None:
    case = Case([96], 32)
    case.projected[:] = case.projected[:, :1]
    hidden = len(case.weights()[1]) // 3
    case.projected[..., 4 * hidden : 4 * hidden + 3] = 6.2
    case.projected[..., 2 * hidden : 3 * hidden] *= 1000  # u passes the range of float16
    arguments = case.arguments(torch.float16)
    assert relative_error(kernel(arguments, 32), exactly(arguments, 32)) <= TOLERANCE[torch.float16]


@pytest.mark.parametrize(
    ("head_size", "chunk", "dtype"), [(8, 32, torch.half), (16, 24, torch.half), (16, 32, torch.double)]
)
def test_sizes_and_dtypes_that_it_has_not(kernel: Kernel, head_size: int, chunk: int, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="found"):
        kernel(Case([9], head_size).arguments(dtype), chunk)


def test_an_empty_batch(kernel: Kernel) -> None:
    projected, lengths, *rest = Case([9]).arguments(torch.float16)
    assert kernel((projected[:0], lengths[:0], *rest), 16).shape == (0, 9, 48)
    assert kernel((projected[:, :0], lengths * 0, *rest), 16).shape == (1, 0, 48)


@pytest.mark.parametrize("target", ["sm_80", pytest.param("sm_90", marks=pytest.mark.slow)])
@pytest.mark.parametrize("step", ["chunks", "states", "heads"])
def test_no_kernel_of_the_published_sizes_spills(step: str, target: str, tmp_path: Path) -> None:
    compiled = compile_kernel(DualStateDeltaRuleBuild(target, 384, 32, 1600, 32, step), tmp_path)
    assert compiled.spill_bytes == 0
    assert 0 < compiled.registers <= 255
    assert compiled.shared_bytes <= 48 * 1024
    assert compiled.threads == 128
