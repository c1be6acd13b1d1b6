"""What the driver says of the GPU, and what is said where there is none."""

import ctypes

import pytest

from lam_engines import gpu
from lam_engines.errors import EngineError


def test_no_driver() -> None:
    try:
        ctypes.CDLL(gpu._CUDA)
    except OSError:
        pass
    else:
        pytest.skip("a CUDA driver is here")
    with pytest.raises(EngineError, match="install the driver"):
        gpu.first_gpu()


def test_a_driver_that_sees_no_gpu() -> None:
    with pytest.raises(EngineError, match=r"error 100\); see nvidia-smi, and check CUDA_VISIBLE_DEVICES"):
        gpu._check(100)
