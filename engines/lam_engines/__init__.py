"""Bundles to embeddings: numpy, tokenizers and one runtime. Never torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BundleError, EngineError, InputError, LamError, SnapshotError
from .runtimes.registry import AUTO, DEFAULT, choose, runtime
from .telemetry import disable_telemetry

if TYPE_CHECKING:
    from .embedding.engine import EmbeddingEngine

__all__ = ["BundleError", "EngineError", "InputError", "LamError", "SnapshotError", "load_engine"]

disable_telemetry()


def load_engine(
    bundle: Path | str,
    engine: str = DEFAULT,
    *,
    precision: str | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> "EmbeddingEngine":
    """Load a bundle for embedding.

    Args:
        bundle: the folder that ``lam-export onnx`` wrote, or its URI such as ``s3://bucket/my-model``, from which it is
            fetched once into the cache.
        engine: ``auto``, the fastest that runs here; or the runtime ``onnxruntime``, ``openvino``, ``tensorrt`` or
            ``tensorrt-rtx``. In fp32 their embeddings agree within 1e-5.
        precision: precision of the graph or plan, which the bundle must have. onnxruntime takes ``fp32`` (its default),
            ``fp16`` and ``int8``; openvino ``fp32`` (its default) and ``bf16``; tensorrt and tensorrt-rtx ``fp16``
            (their default) and ``fp32``; auto what any of them takes, ``fp32`` by default.
        device: onnxruntime takes ``cpu`` (its default) and ``cuda``; openvino ``cpu``; tensorrt and tensorrt-rtx
            ``cuda``.
        threads: threads of each operator on a CPU. Default: the runtime's own choice.

    Returns:
        The loaded engine, a context manager that closes it.

    Raises:
        BundleError: the bundle is missing, altered or broken, or has no file that this engine runs.
        EngineError: the runtime is not installed, there is no such device, or the engine has no such option.

    Example:
        ```python
        with load_engine("my-model") as engine:
            vectors = engine.embed(["a first text", "and another"])  # float32 [2, hidden], unit length
        ```
    """
    if engine == AUTO:
        precision = precision or "fp32"
    else:
        runtime(engine)  # a name that there is not is said before the bundle is read
    from .bundles.bundle import Bundle
    from .bundles.fetching import fetched

    opened = Bundle(fetched(bundle))
    chosen = choose(engine, opened, precision, device).runtime
    return chosen.load(opened, precision=precision, device=device, threads=threads)
