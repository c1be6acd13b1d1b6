"""The dual-state kernels on a CUDA device, against the oracle in float64."""

from dataclasses import astuple

import pytest
import torch
from delta_rule import relative_error
from dual_state import Case, oracle

from lam_plugins.dual_state_delta_rule import Options, torch_op  # noqa: F401  (registers the operator)

pytestmark = [pytest.mark.gpu, pytest.mark.needs("triton", "cuda")]

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3}
UNNORMED = 5
"""Times the tolerance: TF32's products add up where no norm divides the states (4.9e-3 on an H200)."""


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda d: str(d).removeprefix("torch."))
@pytest.mark.parametrize("shared", [False, True], ids=["per-head", "shared"])
@pytest.mark.parametrize("options", [Options(), Options(False, False, False, 0.75)], ids=["published", "all removed"])
@pytest.mark.parametrize(
    ("lengths", "head_size", "chunk"), [([1280, 5, 0, 33], 32, 32), ([300, 64], 16, 16), ([300, 2], 64, 64)]
)
def test_equals_the_oracle(
    lengths: list[int], head_size: int, chunk: int, options: Options, shared: bool, dtype: torch.dtype
) -> None:
    arguments = Case(lengths, head_size, shared=shared).arguments(dtype)
    exact = oracle(tuple(t.double() if t.is_floating_point() else t for t in arguments), chunk, options)
    on_device = (t.cuda() for t in arguments)
    found = torch.ops.lam.dual_state_delta_rule(*on_device, chunk, *astuple(options)).cpu()
    slack = 1 if options.final_norm else UNNORMED
    assert relative_error(found, exact) <= slack * TOLERANCE[dtype]
    errors = [relative_error(a, b) for a, b in zip(found[:1].split(chunk, 1), exact[:1].split(chunk, 1), strict=True)]
    assert errors[-1] <= 4 * slack * errors[1]
