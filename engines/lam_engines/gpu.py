"""The first GPU, as its driver describes it. Every GPU has a driver, so this needs no package."""

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from .errors import EngineError

# These parts of the CUDA driver API and of NVML have not changed since their first versions.
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
_CUDA, _NVML = ("nvcuda.dll", "nvml.dll") if sys.platform == "win32" else ("libcuda.so.1", "libnvidia-ml.so.1")
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver describes it."""

    name: str
    compute_capability: str
    """The compute capability, such as 9.0."""
    driver: str
    """The driver's release, such as 570.86.15; without NVML, the driver's CUDA version."""


def first_gpu() -> Gpu:
    """CUDA's device 0. ``CUDA_VISIBLE_DEVICES`` decides which GPU that is.

    Raises:
        EngineError: there is no driver, or it finds no GPU.
    """
    try:
        cuda: Any = ctypes.CDLL(_CUDA)
    except OSError:
        raise EngineError(
            f"expected NVIDIA's driver for a GPU, found no {_CUDA}; install the driver (in a "
            f"container: docker run --gpus all)"
        ) from None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    _check(cuda.cuInit(0))
    _check(cuda.cuDeviceGet(ctypes.byref(device), 0))
    _check(cuda.cuDeviceGetName(name, _NAME_BYTES, device))

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        _check(cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device))
        return value.value

    capability = f"{attribute(_COMPUTE_CAPABILITY_MAJOR)}.{attribute(_COMPUTE_CAPABILITY_MINOR)}"
    return Gpu(name.value.decode(errors="replace"), capability, _driver_release() or _cuda_of(cuda))


def gpu_name() -> str:
    """The name of :func:`first_gpu`; empty if there is no GPU."""
    try:
        return first_gpu().name
    except EngineError:
        return ""


def _check(status: int) -> None:
    if status:
        raise EngineError(
            f"expected a GPU, found none that the CUDA driver can use (error {status}); see nvidia-smi, and check "
            f"CUDA_VISIBLE_DEVICES"
        )


def _driver_release() -> str | None:
    try:
        nvml: Any = ctypes.CDLL(_NVML)
    except OSError:
        return None
    if nvml.nvmlInit_v2():
        return None
    release = ctypes.create_string_buffer(_NAME_BYTES)
    failed = nvml.nvmlSystemGetDriverVersion(release, _NAME_BYTES)
    nvml.nvmlShutdown()
    return None if failed else release.value.decode(errors="replace")


def _cuda_of(cuda: Any) -> str:
    version = ctypes.c_int()
    _check(cuda.cuDriverGetVersion(ctypes.byref(version)))
    return f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
