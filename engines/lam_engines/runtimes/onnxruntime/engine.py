"""ONNX Runtime: the default engine, on any machine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np

from ...bundles.bundle import Bundle
from ...contract import MODEL, STREAM_MODEL
from ...embedding.batching import GPU_BATCH_TOKENS, GPU_MAX_PADDING
from ...embedding.engine import EmbeddingEngine
from ...embedding.long_texts import WINDOW_TOKENS, flat_windows, unit
from ...errors import BundleError, EngineError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

    from .recurrent_stream import RecurrentStream

_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
_WINDOW = "window"
"""An input of graphs of the flat form, which need not be given: see :func:`long_texts.flat_windows`."""
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
        if device == "cuda":
            self.default_batch_tokens, self.max_padding = GPU_BATCH_TOKENS, GPU_MAX_PADDING
        session = session_of(bundle, name, provider, threads)
        _check_interface(session, name, self.model.hidden_size)
        self._windowed = _WINDOW in [value.name for value in session.get_overridable_initializers()]
        self._session: InferenceSession | None = session
        self._stream = _stream_of(bundle, precision, provider, threads)

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        long = self._in_windows() if input_ids.shape[1] > WINDOW_TOKENS else None
        if long is None:
            return self._run({"input_ids": input_ids, "attention_mask": attention_mask})
        lengths = attention_mask.sum(axis=1).tolist()
        return np.stack([long([ids[:n]], n) for ids, n in zip(input_ids, lengths, strict=True)])

    def _in_windows(self) -> Callable[[Iterable[np.ndarray], int], np.ndarray] | None:
        """What embeds one text of any length window by window, if the bundle has what it takes."""
        chunk_size = self.bundle.manifest.chunk_size
        if self._windowed and chunk_size is not None:
            return partial(self._flat, chunk_size)
        return None if self._stream is None else self._stream.embed

    def _streamer(self) -> Callable[[Iterable[np.ndarray], int], np.ndarray]:
        found = self._in_windows()
        if found is None and self.bundle.manifest.form == "recurrent":
            if self.file != MODEL:
                raise EngineError(
                    f"expected {MODEL} to embed a text in pieces in the form recurrent, found {self.file}; load it so: "
                    f"load_engine(BUNDLE)"
                )
            raise EngineError(
                f"expected {STREAM_MODEL} in the bundle {self.bundle.path} to embed a text in pieces, found none; make "
                f"it again: lam-export onnx CHECKPOINT -o {quote(str(self.bundle.path))} --form recurrent --stream "
                f"--force"
            )
        if found is None:
            raise EngineError(
                f"expected the input {_WINDOW} in {self.file} to embed a text in pieces, found none; make the bundle "
                f"again: lam-export onnx CHECKPOINT -o {quote(str(self.bundle.path))} --force"
            )
        return found

    def _flat(self, chunk_size: int, pieces: Iterable[np.ndarray], tokens: int) -> np.ndarray:
        total = np.zeros(self.model.hidden_size)
        for part, window in flat_windows(pieces, tokens, chunk_size, self.model.num_hidden_layers):
            feed = {"input_ids": part[None], "attention_mask": np.ones_like(part)[None], _WINDOW: window}
            total += self._run(feed)[0]
        return unit(total)

    def _run(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        return run(self._session, [_OUTPUT], feed)[0]

    def close(self) -> None:
        self._session = None
        if self._stream is not None:
            self._stream.close()


def _stream_of(bundle: Bundle, precision: str, provider: str, threads: int | None) -> "RecurrentStream | None":
    chunk_size = bundle.manifest.chunk_size
    if STREAM_MODEL not in bundle.manifest.files or precision != "fp32" or chunk_size is None:
        return None
    from .recurrent_stream import RecurrentStream  # which imports this module

    return RecurrentStream(bundle, chunk_size, provider, threads)


def _check_interface(session: "InferenceSession", name: str, hidden_size: int) -> None:
    inputs = {value.name for value in session.get_inputs()}
    outputs = {value.name: value.shape for value in session.get_outputs()}
    if inputs != set(_INPUTS) or outputs.get(_OUTPUT, [])[1:] != [hidden_size]:
        raise BundleError(
            f"expected {name} with inputs {', '.join(_INPUTS)} and output {_OUTPUT} [batch, {hidden_size}], found "
            f"inputs {', '.join(sorted(inputs))} and outputs {outputs}; make the bundle again: lam-export onnx"
        )


def session_of(bundle: Bundle, name: str, provider: str, threads: int | None) -> "InferenceSession":
    """One of a bundle's graphs, its hash checked, in a session.

    Args:
        bundle: an open bundle.
        name: of the graph.
        provider: what :func:`provider_of` gave.
        threads: for each operator; ONNX Runtime's own choice (one per physical core) if left out.

    Raises:
        BundleError: the graph is missing, altered, or not one that ONNX Runtime can load.
        EngineError: the provider does not start.
    """
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
    return session


def run(session: "InferenceSession | None", outputs: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Those outputs of a graph whose input ``input_ids`` is ``[B, L]``.

    Raises:
        EngineError: there is no session any more, or it fails.
    """
    if session is None:
        raise EngineError("this engine is closed; load the bundle again: load_engine(BUNDLE)")
    try:
        found: list[np.ndarray] = session.run(list(outputs), dict(feed))
    except Exception as error:
        rows, tokens = feed["input_ids"].shape
        raise EngineError(
            f"ONNX Runtime failed on a batch of {rows} x {tokens} tokens: {_reason(error)}; if memory is short, "
            f"lower batch_tokens or cut the longest texts"
        ) from None
    return found


def session_options(threads: int | None) -> "SessionOptions":
    """The options of every session; ``threads`` as for :func:`session_of`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and need not be in the log too
    # Plans of memory are kept for every shape ever seen; lengths vary without end.
    options.enable_mem_pattern = False
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


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
