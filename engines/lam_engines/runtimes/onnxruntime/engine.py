"""ONNX Runtime: runs every graph on any machine."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np

from ...bundles.bundle import Bundle
from ...contract import INPUTS, MODEL, SENTENCE_EMBEDDING, STREAM_MODEL
from ...embedding.batching import GPU_BATCH_TOKENS, GPU_MAX_PADDING
from ...embedding.engine import EmbeddingEngine
from ...embedding.long_texts import WINDOW_TOKENS, flat_embedding
from ...errors import BundleError, EngineError
from .recurrent_stream import RecurrentStream
from .session import provider_of, run, session_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxRuntimeEngine(EmbeddingEngine):
    """Runs one of a bundle's graphs in ONNX Runtime. It is thread-safe: one engine may serve many threads."""

    def __init__(
        self, bundle: Bundle, *, precision: str = "fp32", device: str = "cpu", threads: int | None = None
    ) -> None:
        """Load the bundle's graph.

        Args:
            bundle: an open bundle.
            precision: the graph's precision, ``fp32``, ``fp16`` or ``int8``. The bundle must have that graph.
            device: ``cpu`` or ``cuda``.
            threads: CPU threads; if left out, one per physical core, or as many as the container has.

        Raises:
            EngineError: ONNX Runtime or the device is missing.
            BundleError: the graph is missing, was altered, or cannot be loaded.
        """
        name = bundle.graph(precision)
        provider = provider_of(device)
        super().__init__(bundle, name)
        if device == "cuda":
            self.default_batch_tokens, self.max_padding = GPU_BATCH_TOKENS, GPU_MAX_PADDING
        self._windowed = bundle.manifest.form == "flat"
        session = session_of(bundle, name, provider, threads, windowed=self._windowed)
        _check_interface(session, name, self.model.hidden_size)
        self._session: InferenceSession | None = session
        self._stream = _stream_of(bundle, precision, provider, threads)

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        long = self._in_windows() if input_ids.shape[1] > WINDOW_TOKENS else None
        if long is None:
            return self._run(dict(zip(INPUTS, (input_ids, attention_mask), strict=True)))
        lengths = attention_mask.sum(axis=1).tolist()
        return np.stack([long([ids[:n]], n) for ids, n in zip(input_ids, lengths, strict=True)])

    def _in_windows(self) -> Callable[[Iterable[np.ndarray], int], np.ndarray] | None:
        """A function that embeds one text of any length in windows; None if the bundle cannot do that."""
        chunk_size = self.bundle.manifest.chunk_size
        if self._windowed and chunk_size is not None:
            return partial(flat_embedding, self._run, chunk_size=chunk_size, model=self.model)
        return None if self._stream is None else self._stream.embed

    def _streamer(self) -> Callable[[Iterable[np.ndarray], int], np.ndarray]:
        found = self._in_windows()
        if found is None and self.file != MODEL:
            raise EngineError(
                f"expected {MODEL} to embed a text in pieces in the form recurrent, found {self.file}; load the "
                f"bundle without a precision: load_engine(BUNDLE)"
            )
        if found is None:
            raise EngineError(
                f"expected {STREAM_MODEL} in the bundle {self.bundle.path} to embed a text in pieces, found none; make "
                f"it again: lam-export onnx CHECKPOINT -o {quote(str(self.bundle.path))} --form recurrent --stream "
                f"--force"
            )
        return found

    def _run(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        return run(self._session, [SENTENCE_EMBEDDING], feed)[0]

    def close(self) -> None:
        self._session = None
        if self._stream is not None:
            self._stream.close()


def _stream_of(bundle: Bundle, precision: str, provider: str, threads: int | None) -> RecurrentStream | None:
    chunk_size = bundle.manifest.chunk_size
    if STREAM_MODEL not in bundle.manifest.files or precision != "fp32" or chunk_size is None:
        return None
    return RecurrentStream(bundle, chunk_size, provider, threads)


def _check_interface(session: "InferenceSession", name: str, hidden_size: int) -> None:
    inputs = {value.name for value in session.get_inputs()}
    outputs = {value.name: value.shape for value in session.get_outputs()}
    if inputs != set(INPUTS) or outputs.get(SENTENCE_EMBEDDING, [])[1:] != [hidden_size]:
        raise BundleError(
            f"expected {name} with inputs {', '.join(INPUTS)} and output {SENTENCE_EMBEDDING} [batch, {hidden_size}], "
            f"found inputs {', '.join(sorted(inputs))} and outputs {outputs}; make the bundle again: lam-export onnx"
        )
