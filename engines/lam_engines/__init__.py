"""Bundles to embeddings: numpy, tokenizers and one runtime. Never torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BundleError, EngineError, InputError, LamError

if TYPE_CHECKING:
    from .engine import EmbeddingEngine

__all__ = ["BundleError", "EngineError", "InputError", "LamError", "load_engine"]

ENGINES = ("onnxruntime",)


def load_engine(
    bundle: Path | str,
    engine: str = "onnxruntime",
    *,
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
) -> "EmbeddingEngine":
    """Load a bundle for embedding.

    Args:
        bundle: the folder that ``lam-export onnx`` wrote.
        engine: the runtime, one of :data:`ENGINES`.
        precision: of the graph, as far as the bundle has it: ``fp32``, ``fp16`` or ``int8``.
        device: ``cpu`` or ``cuda``.
        threads: for each operator; the runtime's own choice if left out.

    Raises:
        BundleError: the bundle is missing, altered, or broken.
        EngineError: the runtime or device is not there.
    """
    if engine not in ENGINES:
        raise EngineError(f"expected engine {' or '.join(ENGINES)}, found {engine!r}")
    from .bundle import Bundle
    from .onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine(Bundle(bundle), precision=precision, device=device, threads=threads)
