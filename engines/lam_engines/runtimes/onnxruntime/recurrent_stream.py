"""The recurrent form in ONNX Runtime, in windows. Each window hands its states to the next."""

from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ...bundles.bundle import Bundle
from ...contract import INPUT_IDS, STREAM_MODEL, WINDOW
from ...embedding.long_texts import RECURRENT_WINDOW_TOKENS, recurrent_windows, unit
from ...errors import BundleError, EngineError
from .session import run, session_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_CARRY = ("contexts", "states")
_OUTPUTS = ("sum", *(f"present_{name}" for name in _CARRY))


class RecurrentStream:
    """Runs a bundle's ``model.stream.onnx``. It is loaded on first use, because it holds all weights a second time.

    It is thread-safe: the carried states belong to a text, not to this object.
    """

    def __init__(self, bundle: Bundle, chunk_size: int, provider: str, threads: int | None) -> None:
        """Take a recurrent bundle, its chunk size, and what :func:`session_of` takes. Nothing is read yet."""
        self._bundle, self._chunk_size, self._provider, self._threads = bundle, chunk_size, provider, threads
        self._lock = Lock()
        self._session: InferenceSession | None = None
        self._closed = False

    def embed(self, pieces: Iterable[np.ndarray], tokens: int, own_tokens: int = RECURRENT_WINDOW_TOKENS) -> np.ndarray:
        """The embedding ``[hidden]``, float32, of one text of any length.

        Args:
            pieces: the text's ids in order, as arrays ``[n]`` of integers.
            tokens: the total number of ids.
            own_tokens: tokens in a window, without the look-ahead.

        Raises:
            InputError: the number of ids is not ``tokens``.
            BundleError: the graph is missing, was altered, or cannot be loaded.
            EngineError: the engine is closed, or memory is short.
        """
        model = self._bundle.manifest.model
        session = self._loaded()
        shapes = {value.name: value.shape for value in session.get_inputs()}
        carry = [np.zeros(shapes[f"past_{name}"], dtype=np.float32) for name in _CARRY]
        total = np.zeros(model.hidden_size)
        for part, window in recurrent_windows(pieces, tokens, self._chunk_size, model.num_hidden_layers, own_tokens):
            past = {f"past_{name}": array for name, array in zip(_CARRY, carry, strict=True)}
            own, *carry = run(session, _OUTPUTS, {INPUT_IDS: part[None], WINDOW: window, **past})
            total += own[0]
        return unit(total)

    def close(self) -> None:
        with self._lock:
            self._session, self._closed = None, True

    def _loaded(self) -> "InferenceSession":
        with self._lock:
            if self._closed:
                raise EngineError("this engine is closed; load the bundle again: load_engine(BUNDLE)")
            if self._session is None:
                session = session_of(self._bundle, STREAM_MODEL, self._provider, self._threads)
                _check_interface(session)
                self._session = session
            return self._session


def _check_interface(session: "InferenceSession") -> None:
    expected = {INPUT_IDS, WINDOW, *(f"past_{name}" for name in _CARRY)}, set(_OUTPUTS)
    found = {value.name for value in session.get_inputs()}, {value.name for value in session.get_outputs()}
    if found != expected:
        raise BundleError(
            f"expected {STREAM_MODEL} with inputs {', '.join(sorted(expected[0]))} and outputs "
            f"{', '.join(sorted(expected[1]))}, found inputs {', '.join(sorted(found[0]))} and outputs "
            f"{', '.join(sorted(found[1]))}; make the bundle again: lam-export onnx --form recurrent --stream"
        )
