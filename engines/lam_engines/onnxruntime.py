"""ONNX Runtime: the default engine, on any machine."""

import numpy as np

from .bundle import MODEL, Bundle
from .engine import EmbeddingEngine
from .errors import BundleError, EngineError

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeEngine(EmbeddingEngine):
    """``model.onnx`` in ONNX Runtime. Thread-safe: one engine may serve many threads."""

    def __init__(self, bundle: Bundle, *, device: str = "cpu", threads: int | None = None) -> None:
        """Load the bundle's graph.

        Args:
            bundle: an open bundle.
            device: ``cpu`` or ``cuda``.
            threads: for each operator; ONNX Runtime's own choice (one per physical core) if left out.

        Raises:
            EngineError: ONNX Runtime or the device is not there.
            BundleError: the graph is missing, altered, or not one that ONNX Runtime can load.
        """
        super().__init__(bundle)
        provider = provider_of(device)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Plans of memory are kept for every shape ever seen; lengths vary without end.
        options.enable_mem_pattern = False
        if threads is not None:
            options.intra_op_num_threads = threads
        graph = bundle.read(MODEL)
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=[provider])
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise BundleError(f"ONNX Runtime {onnxruntime.__version__} cannot load {MODEL}: {reason}") from None

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        vectors: np.ndarray = self._session.run(["sentence_embedding"], feed)[0]
        return vectors

    def close(self) -> None:
        del self._session


def provider_of(device: str) -> str:
    """ONNX Runtime's execution provider for a device, seen to be there.

    Raises:
        EngineError: ONNX Runtime is not installed, or has no such provider; says what to install.
    """
    if device not in _PROVIDERS:
        raise EngineError(f"expected device {' or '.join(_PROVIDERS)}, found {device!r}")
    provider = _PROVIDERS[device]
    try:
        import onnxruntime
    except ImportError:
        raise EngineError(
            "ONNX Runtime is not installed; run: pip install 'lam-export[cpu]' (or 'lam-export[gpu]')"
        ) from None
    if provider not in onnxruntime.get_available_providers():
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} here has no {provider}; run: pip uninstall onnxruntime && pip "
            f"install 'lam-export[gpu]'"
        )
    return provider
