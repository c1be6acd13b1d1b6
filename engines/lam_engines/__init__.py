"""Bundles to embeddings: numpy, tokenizers and one runtime. Never torch."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BundleError, EngineError, InputError, LamError, SnapshotError

if TYPE_CHECKING:
    from .embedding.engine import EmbeddingEngine

__all__ = ["BundleError", "EngineError", "InputError", "LamError", "SnapshotError", "load_engine"]

# ONNX Runtime 1.29 and newer sends reports of its use, unless this is set when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

ENGINES = ("onnxruntime", "openvino", "tensorrt")


def load_engine(
    bundle: Path | str,
    engine: str = "onnxruntime",
    *,
    precision: str | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> "EmbeddingEngine":
    """Load a bundle for embedding.

    Args:
        bundle: the folder that ``lam-export onnx`` wrote.
        engine: the runtime, one of :data:`ENGINES`.
        precision: of the graph or plan, as far as the bundle has it: onnxruntime ``fp32`` (its default), ``fp16`` or
            ``int8``; openvino ``fp32``; tensorrt ``fp16`` (its default) or ``fp32``.
        device: onnxruntime ``cpu`` (its default) or ``cuda``; openvino ``cpu``; tensorrt ``cuda``.
        threads: of a CPU, for each operator; the runtime's own choice if left out.

    Raises:
        BundleError: the bundle is missing, altered, or broken, or has nothing that this engine runs.
        EngineError: the runtime or device is not there, or the engine has no such option.
    """
    if engine not in ENGINES:
        raise EngineError(f"expected engine {', '.join(ENGINES[:-1])} or {ENGINES[-1]}, found {engine!r}")
    from .bundles.bundle import Bundle

    if engine == "openvino":
        _check_option("device", device, "cpu", engine)
        _check_option("precision", precision, "fp32", engine)
        from .runtimes.openvino.engine import OpenVinoEngine

        return OpenVinoEngine(Bundle(bundle), threads=threads)
    if engine == "tensorrt":
        _check_option("device", device, "cuda", engine)
        if threads is not None:
            raise EngineError(f"expected no threads with the engine tensorrt, which runs on a GPU, found {threads}")
        from .runtimes.tensorrt.engine import TensorRtEngine

        return TensorRtEngine(Bundle(bundle), precision=precision or "fp16")
    from .runtimes.onnxruntime.engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(Bundle(bundle), precision=precision or "fp32", device=device or "cpu", threads=threads)


def _check_option(option: str, found: str | None, only: str, engine: str) -> None:
    if found not in (None, only):
        raise EngineError(f"expected {option} {only} with the engine {engine}, found {found!r}; leave it out")
