"""The package ``openvino``: imported without its telemetry, new enough, and how every graph is compiled."""

import sys
from typing import Any

from ...errors import EngineError

OLDEST = (2026, 2)
"""Older versions give NaN for every padded text: they divide a row of zeros by its norm, whatever the epsilon."""
_KERNELS = 1000
"""Prepared kernels that are kept for shapes seen before, about 0.3 MB each with the demo model. Lengths vary without
end: with OpenVINO's own 5,000 a process grows by more than a gigabyte."""


def library() -> Any:
    """The package ``openvino``, seen to be new enough.

    Raises:
        EngineError: it is not installed, or too old; says what to install.
    """
    try:
        openvino = _import()
    except ImportError:
        raise EngineError("OpenVINO is not installed; run: pip install 'lam-export[openvino]'") from None
    check_version(version_of(openvino))
    return openvino


def check_version(version: str) -> None:
    """See that a version of OpenVINO, like 2026.4.1, gives right embeddings.

    Raises:
        EngineError: it is too old.
    """
    if tuple(int(number) for number in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise EngineError(
            f"expected OpenVINO {oldest} or newer, found {version}, which gives NaN for padded texts; run: pip install "
            f"--upgrade 'lam-export[openvino]'"
        )


def version_of(openvino: Any) -> str:
    """``2026.4.1`` of ``2026.4.1-22982-e213a147257-releases/2026/4``."""
    return str(openvino.__version__).partition("-")[0]


def _import() -> Any:
    """Import it without the report to its makers that it sends as it is imported: nothing leaves a machine unasked.

    Where its package for such reports is not installed, it does without.
    """
    reports = "openvino_telemetry"
    hidden = reports not in sys.modules
    if hidden:
        sys.modules[reports] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if hidden:
            del sys.modules[reports]
    return openvino


def compile_options(threads: int | None) -> dict[Any, Any]:
    """How every graph is compiled; ``threads`` as for :class:`OpenVinoEngine`."""
    openvino = library()
    from openvino import properties
    from openvino.properties import hint

    options: dict[Any, Any] = {
        # A CPU with bfloat16 instructions would use them unasked.
        hint.inference_precision: openvino.Type.f32,
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS,
    }
    if threads is not None:
        options[properties.inference_num_threads] = threads
    return options
