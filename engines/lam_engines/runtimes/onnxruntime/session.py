"""Sessions of ONNX Runtime. Each runs one of a bundle's graphs on a device."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...bundles.bundle import Bundle
from ...contract import INPUT_IDS, WINDOW
from ...errors import BundleError, EngineError, first_line, installing
from ...machine import default_threads

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_WINDOW_INPUT = b"\x3a\x16\x5a\x14\x0a\x06%b\x12\x0a\x0a\x08\x08\x07\x12\x04\x0a\x02\x08\x04" % WINDOW.encode("ascii")
"""A serialised ModelProto with nothing but the graph input ``window``, int64 ``[4]``. Protocol buffers merge messages
that follow each other, so a graph with these bytes behind it has one input more."""


def session_of(
    bundle: Bundle, name: str, provider: str, threads: int | None, *, windowed: bool = False
) -> "InferenceSession":
    """Load one of a bundle's graphs, after checking its hash.

    Args:
        bundle: an open bundle.
        name: the graph's file.
        provider: the result of :func:`provider_of`.
        threads: CPU threads; if left out, one per physical core, or as many as the container has.
        windowed: make the graph's constant ``window`` an optional input.

    Raises:
        BundleError: the graph is missing, was altered, or cannot be loaded.
        EngineError: the provider does not start.
    """
    import onnxruntime

    graph = bundle.read(name) + (_WINDOW_INPUT if windowed else b"")
    try:
        session = onnxruntime.InferenceSession(graph, session_options(threads), providers=[provider])
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise BundleError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {name}: {first_line(error)}; make the bundle again: "
            f"lam-export onnx"
        ) from None
    if provider not in session.get_providers():  # it falls back to the CPU without an error
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} cannot start {provider}: there is no GPU (see nvidia-smi), or "
            f"this version's CUDA libraries are missing; fix that, or use the device cpu"
        )
    return session


def run(session: "InferenceSession | None", outputs: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Run a graph whose input ``input_ids`` is ``[B, L]``, and return the named outputs.

    Raises:
        EngineError: the session is closed (None), or it fails.
    """
    if session is None:
        raise EngineError("this engine is closed; load the bundle again: load_engine(BUNDLE)")
    try:
        found: list[np.ndarray] = session.run(list(outputs), dict(feed))
    except Exception as error:
        rows, tokens = feed[INPUT_IDS].shape
        raise EngineError(
            f"ONNX Runtime failed on a batch of {rows} x {tokens} tokens: {first_line(error)}; if memory is short, "
            f"lower batch_tokens or cut the longest texts"
        ) from None
    return found


def session_options(threads: int | None) -> "SessionOptions":
    """The options of every session. ``threads`` is as for :func:`session_of`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, so the log need not repeat them
    # ONNX Runtime would keep a memory plan for every shape that it has seen, and lengths vary without end.
    options.enable_mem_pattern = False
    threads = threads or default_threads()
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def provider_of(device: str) -> str:
    """ONNX Runtime's execution provider for a device. It is available here.

    Raises:
        EngineError: ONNX Runtime is not installed, or has no such provider. The message says what to install.
    """
    if device not in _PROVIDERS:
        raise EngineError(f"expected device {' or '.join(_PROVIDERS)}, found {device!r}")
    provider = _PROVIDERS[device]
    try:
        import onnxruntime
    except ImportError:
        raise EngineError(
            f"ONNX Runtime is not installed; run: {installing('cpu')} (for CUDA: gpu in the place of cpu)"
        ) from None
    if provider not in onnxruntime.get_available_providers():
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} here has no {provider}; run: pip uninstall onnxruntime && "
            f"{installing('gpu')}"
        )
    return provider
