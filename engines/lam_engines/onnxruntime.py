"""ONNX Runtime: the default engine, on any machine."""

from typing import TYPE_CHECKING

import numpy as np

from .bundle import Bundle
from .engine import EmbeddingEngine
from .errors import BundleError, EngineError
from .long_texts import WINDOW_TOKENS, text_windows

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
_WINDOW = "window"
"""An input of graphs of the flat form, which need not be given: see :func:`long_texts.text_windows`."""
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeEngine(EmbeddingEngine):
    """One of a bundle's graphs in ONNX Runtime. Thread-safe: one engine may serve many threads."""

    def __init__(
        self, bundle: Bundle, *, precision: str = "fp32", device: str = "cpu", threads: int | None = None
    ) -> None:
        """Load the bundle's graph.

        Args:
            bundle: an open bundle.
            precision: of the graph: ``fp32``, ``fp16`` or ``int8``, as far as the bundle has it.
            device: ``cpu`` or ``cuda``.
            threads: for each operator; ONNX Runtime's own choice (one per physical core) if left out.

        Raises:
            EngineError: ONNX Runtime or the device is not there.
            BundleError: the graph is missing, altered, or not one that ONNX Runtime can load.
        """
        if threads is not None and threads < 1:
            raise EngineError(f"expected at least 1 thread, found {threads}; leave it out for one per core")
        name = bundle.graph(precision)
        provider = provider_of(device)
        super().__init__(bundle, name)
        import onnxruntime

        graph = bundle.read(name)
        try:
            session = onnxruntime.InferenceSession(graph, session_options(threads), providers=[provider])
        except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
            raise BundleError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load {name}: {_reason(error)}; make the bundle again: "
                f"lam-export onnx"
            ) from None
        if provider not in session.get_providers():  # it falls back to the CPU without an error
            raise EngineError(
                f"ONNX Runtime {onnxruntime.__version__} cannot start {provider}: no GPU (see nvidia-smi), or not the "
                f"CUDA libraries that this version wants; mend that, or use the device cpu"
            )
        _check_interface(session, name, self.model.hidden_size)
        self._windowed = _WINDOW in [value.name for value in session.get_overridable_initializers()]
        self._session: InferenceSession | None = session

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        chunk_size = self.bundle.manifest.chunk_size
        if not self._windowed or chunk_size is None or input_ids.shape[1] <= WINDOW_TOKENS:
            return self._run({"input_ids": input_ids, "attention_mask": attention_mask})
        lengths = attention_mask.sum(axis=1)
        return np.stack([self._long(ids[:n], chunk_size) for ids, n in zip(input_ids, lengths, strict=True)])

    def _long(self, ids: np.ndarray, chunk_size: int) -> np.ndarray:
        """The embedding of one text of any length, window by window."""
        total = np.zeros(self.model.hidden_size)
        for part, window in text_windows(ids, chunk_size, self.model.num_hidden_layers):
            cut = {"input_ids": part[None], "attention_mask": np.ones_like(part)[None], _WINDOW: window}
            total += self._run(cut)[0]
        return (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)

    def _run(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        session = self._session
        if session is None:
            raise EngineError("this engine is closed; load the bundle again: load_engine(BUNDLE)")
        try:
            vectors: np.ndarray = session.run([_OUTPUT], feed)[0]
        except Exception as error:
            rows, tokens = feed["input_ids"].shape
            raise EngineError(
                f"ONNX Runtime failed on a batch of {rows} x {tokens} tokens: {_reason(error)}; if memory is short, "
                f"lower batch_tokens or cut the longest texts"
            ) from None
        return vectors

    def close(self) -> None:
        self._session = None


def session_options(threads: int | None) -> "SessionOptions":
    """The options of every session; ``threads`` as for :class:`OnnxRuntimeEngine`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and need not be in the log too
    # Plans of memory are kept for every shape ever seen; lengths vary without end.
    options.enable_mem_pattern = False
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _check_interface(session: "InferenceSession", name: str, hidden_size: int) -> None:
    inputs = {value.name for value in session.get_inputs()}
    outputs = {value.name: value.shape for value in session.get_outputs()}
    if inputs != set(_INPUTS) or outputs.get(_OUTPUT, [])[1:] != [hidden_size]:
        raise BundleError(
            f"expected {name} with inputs {', '.join(_INPUTS)} and output {_OUTPUT} [batch, {hidden_size}], found "
            f"inputs {', '.join(sorted(inputs))} and outputs {outputs}; make the bundle again: lam-export onnx"
        )


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
