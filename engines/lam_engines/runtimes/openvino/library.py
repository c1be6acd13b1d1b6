"""The package ``openvino``: its import without what is not needed, its oldest version, its options, and one call."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from ...contract import INPUT_IDS, SENTENCE_EMBEDDING
from ...errors import EngineError, installing
from ...machine import default_threads, instruction_sets, processor_name

OLDEST = (2026, 2)
"""Older versions give NaN for every padded text, because they ignore the epsilon when they normalise a row of zeros."""
_TELEMETRY, _CONVERTER = "openvino_telemetry", "openvino.tools.ovc"
_KERNELS = 1000
"""How many prepared kernels OpenVINO keeps for shapes that it has seen. One takes about 0.3 MB with the demo model.
Lengths vary without end, so with OpenVINO's default of 5,000 a process grows by more than a gigabyte."""

_CORES: dict[int, Any] = {}
"""What :func:`core` gives, by process: the threads of a ``Core`` do not live on in a fork."""


def library() -> Any:
    """Import the package ``openvino``, and see that it is new enough.

    Raises:
        EngineError: it is not installed, or too old. The message says what to install.
    """
    try:
        openvino = _import()
    except ImportError:
        raise EngineError(f"OpenVINO is not installed; run: {installing('cpu')}") from None
    check_version(version_of(openvino))
    return openvino


def check_version(version: str) -> None:
    """See that a version of OpenVINO, such as 2026.4.1, gives right embeddings.

    Raises:
        EngineError: it is too old.
    """
    if tuple(int(number) for number in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise EngineError(
            f"expected OpenVINO {oldest} or newer, found {version}, which gives NaN for padded texts; run: pip install "
            f"--upgrade 'openvino>={oldest}'"
        )


def core() -> Any:
    """OpenVINO's ``Core`` that compiles every graph of this process. It is never closed.

    With its first graph a ``Core`` loads its plugin for the CPU, which gives the calling thread a stack for signal
    handlers, and frees the stack when the ``Core`` and its graphs are gone. If that is in another thread, or another
    ``Core`` was loaded meanwhile, the thread keeps the freed stack, and the next signal ends the process (2026.4.1).

    Raises:
        EngineError: as for :func:`library`.
    """
    process = os.getpid()
    # Of two threads that come here first, one drops its Core, which has loaded nothing.
    return _CORES.get(process) or _CORES.setdefault(process, library().Core())


def infer(request: Any, feed: Mapping[str, np.ndarray]) -> np.ndarray:
    """Run a request of a graph with the inputs of an encoder, to float32 ``[B, hidden]``.

    Raises:
        RuntimeError: OpenVINO failed.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in feed.items()}
    width = request.get_compiled_model().output(SENTENCE_EMBEDDING).partial_shape[1].get_length()
    # On one thread OpenVINO drops its own errors, and the output stays that of the call before. NaN shows it.
    found = np.full((len(arrays[INPUT_IDS]), width), np.nan, np.float32)
    request.set_tensor(SENTENCE_EMBEDDING, library().Tensor(found, shared_memory=True))
    request.infer(arrays, share_inputs=True, share_outputs=True)  # both outlive the call
    if np.isnan(found).all():
        raise RuntimeError("it computed nothing")
    return found


def version_of(openvino: Any) -> str:
    """The version alone: ``2026.4.1`` from ``2026.4.1-22982-e213a147257-releases/2026/4``."""
    return str(openvino.__version__).partition("-")[0]


def compute_in_bf16(model: Any) -> None:
    """Give the operators of a graph bfloat16 to read and to write.

    OpenVINO gives an operator that it does not know the types that the graph says. Where it computes everything in
    bfloat16, it drops the conversions that are added here. Without them it converts to float32 and back.
    """
    from openvino import Type
    from openvino.opset1 import convert

    for node in model.get_ops():
        if node.get_type_name().startswith("FusedDeltaRule"):
            users = node.output(0).get_target_inputs()
            node.input(0).replace_source_output(convert(node.input_value(0), Type.bf16).output(0))
            back = convert(node.output(0), Type.f32)
            for user in users:
                user.replace_source_output(back.output(0))
    model.validate_nodes_and_infer_types()


def _import() -> Any:
    """Import ``openvino`` without two parts that it can do without.

    Its telemetry would send a report to its makers on import. Its model converter takes as long to import as all the
    rest. Both are hidden during the import. A program around ours that calls ``openvino.convert_model`` still finds it.
    """
    hidden = {_TELEMETRY, _CONVERTER} - sys.modules.keys()
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]
    try:
        import openvino
    finally:
        for name in hidden:
            del sys.modules[name]
    if not hasattr(openvino, "convert_model"):
        openvino.convert_model = _convert_model
    return openvino


def _convert_model(*args: Any, **options: Any) -> Any:
    return import_module(_CONVERTER).convert_model(*args, **options)


def check_bf16() -> None:
    """See that the processor computes in bfloat16.

    OpenVINO also imitates bfloat16 with AVX-512, which is slower than float32.

    Raises:
        EngineError: it does not, or OpenVINO is missing.
    """
    found = instruction_sets()
    imitated = "avx512f" in found and not found & {"avx512_bf16", "amx_bf16"}
    if imitated or "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineError(
            f"expected a processor with instructions for bf16 (AMX, AVX-512 BF16 or ARM BF16), found "
            f"{processor_name()}; leave the precision out for fp32"
        )


def compile_options(threads: int | None, precision: str = "fp32", streams: int = 1) -> dict[Any, Any]:
    """The options for compiling every graph.

    Args:
        threads, precision: as for :class:`OpenVinoEngine`.
        streams: batches that run at the same time, each on its share of the threads.
    """
    openvino = library()
    from openvino import properties
    from openvino.properties import hint

    options: dict[Any, Any] = {
        # Without this, OpenVINO uses bfloat16 on CPUs that support it.
        hint.inference_precision: openvino.Type.bf16 if precision == "bf16" else openvino.Type.f32,
        "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS // streams,  # for each stream
    }
    if streams > 1:
        options[openvino.properties.num_streams] = streams
    else:
        options[hint.performance_mode] = hint.PerformanceMode.LATENCY
    threads = threads or default_threads()
    if threads is not None:
        options[properties.inference_num_threads] = threads
    return options
