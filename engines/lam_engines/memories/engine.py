"""A memory of vectors on ONNX Runtime, which stores, recalls, saves and loads them. Numpy only, never torch."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..bundles.bundle import Bundle
from ..contract import MEMORY_MODEL
from ..errors import BundleError, EngineError, InputError
from .snapshots import Header, read_snapshot, write_snapshot
from .state import INPUTS, OUTPUTS, PAST, PRESENT, RECALL, STORED, within_range

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_State = tuple[int, tuple[np.ndarray, ...]]
"""Number of stored memories, and the arrays of ``STATES`` with a batch of one. A state is replaced, never changed."""


class MemoryEngine:
    """A fast and a slow memory of vectors. It is thread-safe: stores take turns, and a recall sees all finished ones.

    with MemoryEngine("my-memory") as memory, load_engine("my-model") as engine:
        values = memory.store(engine.embed(texts))
        found = memory.recall(engine.embed(["a question"]))
        memory.save("notes.memory")
    """

    def __init__(self, bundle: Bundle | Path | str, *, threads: int = 1) -> None:
        """Open a memory's bundle. The memory is empty.

        Args:
            bundle: what ``lam-export memory`` wrote: its folder, or an open bundle.
            threads: threads of each operator. A step is small, so more than one seldom helps.

        Raises:
            BundleError: the bundle is missing, altered, broken, or an encoder's.
            EngineError: ONNX Runtime is not installed.
        """
        from ..runtimes.onnxruntime.session import provider_of, session_of

        if threads < 1:
            raise EngineError(f"expected at least 1 thread, found {threads}")
        provider = provider_of("cpu")
        self.bundle = Bundle(bundle.path if isinstance(bundle, Bundle) else bundle, kind="memory")
        manifest = self.bundle.manifest
        session = session_of(self.bundle, MEMORY_MODEL, provider, threads)
        self.hidden_size = manifest.model.hidden_size
        heads = manifest.model.num_attention_heads
        self._header = Header(
            checkpoint=manifest.checkpoint.sha256,
            layer=manifest.memory_layer or 0,
            heads=heads,
            head_size=self.hidden_size // heads,
            stored=0,
        )
        _check_interface(session, self.hidden_size, self._header)
        self._session: InferenceSession | None = session
        self._writing = threading.Lock()
        self._state = self._empty()

    @property
    def stored(self) -> int:
        """How many vectors were stored since the memory was empty. Saving and loading keeps this number."""
        return self._state[0]

    def store(self, keys: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """Store vectors one after the other. Each new vector weakens those before it.

        Args:
            keys: ``[n, hidden]``, or ``[hidden]`` for one: hidden states of tokens, or embeddings of texts.
            values: what the keys should recall, in the shape of ``keys``. Default: the keys themselves.

        Returns:
            ``[n, hidden]`` (or ``[hidden]``) float32: each value as the layer projects it. The answers of
            :meth:`recall` lie in the same space, so compare them with these to know what was recalled.

        Raises:
            InputError: wrong shape, or a value that is not finite. Nothing was stored.
            EngineError: the engine is closed, or the state would exceed the range of float32. Nothing was stored.
        """
        keys, single = self._vectors("keys", keys)
        values = keys if values is None else self._vectors("values", values)[0]
        if values.shape != keys.shape:
            raise InputError(f"expected as many values as keys, {len(keys)}, found {len(values)}")
        nothing, yes = np.zeros((1, 0, self.hidden_size), np.float32), np.ones((1, 1), bool)
        projected = np.empty_like(values)
        with self._writing:
            count, state = self._state
            for i in range(len(keys)):
                feed = dict(zip(INPUTS, (keys[i : i + 1], values[i : i + 1], nothing, yes), strict=True))
                stored, *after = self._run([STORED, *PRESENT], feed, state)
                projected[i], state = stored[0], tuple(after)
            if not within_range(state):
                raise EngineError(
                    "expected a state within the range of float32, found one beyond it after this store; store smaller "
                    "vectors, or begin anew: memory.reset()"
                )
            self._state = count + len(keys), state
        return projected[0] if single else projected

    def recall(self, queries: np.ndarray) -> np.ndarray:
        """Ask the memory, which does not change.

        Args:
            queries: ``[n, hidden]``, or ``[hidden]`` for one. Each is answered by itself.

        Returns:
            The same shape, float32: the answers of all heads side by side, in the space of what :meth:`store` returns.
            Zeros if nothing is stored.

        Raises:
            InputError: wrong shape, or a value that is not finite.
            EngineError: the engine is closed.
        """
        queries, single = self._vectors("queries", queries)
        vector, no = np.zeros((1, self.hidden_size), np.float32), np.zeros((1, 1), bool)
        feed = dict(zip(INPUTS, (vector, vector, queries[None], no), strict=True))
        answers: np.ndarray = self._run([RECALL], feed, self._state[1])[0][0]
        return answers[0] if single else answers

    def reset(self) -> None:
        """Forget everything."""
        with self._writing:
            self._state = self._empty()

    def save(self, path: Path | str) -> None:
        """Write the memory to one file, whole or not at all; see :func:`.snapshots.write_snapshot`.

        Raises:
            SnapshotError: the file could not be written; an older file is unchanged.
        """
        with self._writing:
            stored, arrays = self._state
            write_snapshot(Path(path), self._header.model_copy(update={"stored": stored}), arrays)

    def load(self, path: Path | str) -> None:
        """Replace this memory by a saved one.

        Raises:
            SnapshotError: the file is missing, damaged, or of another checkpoint, layer or format version. The memory
                is unchanged.
        """
        stored, arrays = read_snapshot(Path(path), self._header)
        with self._writing:
            self._state = stored, tuple(array[None] for array in arrays)

    def close(self) -> None:
        """Give back the runtime's memory. The engine cannot be used afterwards."""
        self._session = None

    def __enter__(self) -> "MemoryEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _empty(self) -> _State:
        return 0, tuple(np.zeros((1, *shape), np.float32) for shape in self._header.shapes)

    def _run(self, outputs: list[str], feed: dict[str, np.ndarray], state: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        session = self._session
        if session is None:
            raise EngineError("this memory is closed; open the bundle again: MemoryEngine(BUNDLE)")
        found: list[np.ndarray] = session.run(outputs, feed | dict(zip(PAST, state, strict=True)))
        return found

    def _vectors(self, name: str, given: np.ndarray) -> tuple[np.ndarray, bool]:
        """The vectors as ``[n, hidden]`` float32, and whether one vector ``[hidden]`` was given."""
        try:
            vectors = np.asarray(given)
        except (ValueError, TypeError):
            raise InputError(f"expected {name} [n, {self.hidden_size}], found rows of unlike length") from None
        if vectors.ndim not in (1, 2) or vectors.shape[-1] != self.hidden_size or vectors.dtype.kind not in "fiu":
            raise InputError(
                f"expected {name} as numbers [n, {self.hidden_size}], as the checkpoint's layers read them, found "
                f"{vectors.dtype} {list(vectors.shape)}"
            )
        with np.errstate(over="ignore"):
            rows = np.atleast_2d(vectors).astype(np.float32)
        if not np.isfinite(rows).all():
            raise InputError(f"expected finite numbers in {name}, found NaN or infinity")
        return rows, vectors.ndim == 1


def _check_interface(session: "InferenceSession", hidden_size: int, header: Header) -> None:
    key, value, query, store = INPUTS
    vectors = {key: [hidden_size], value: [hidden_size], query: [hidden_size], store: [1]}
    expected = vectors | {name: list(shape) for name, shape in zip(PAST, header.shapes, strict=True)}
    found = {tensor.name: tensor.shape[2 if tensor.name == query else 1 :] for tensor in session.get_inputs()}
    outputs = {tensor.name for tensor in session.get_outputs()}
    if found != expected or outputs != {*OUTPUTS, *PRESENT}:
        raise BundleError(
            f"expected {MEMORY_MODEL} with inputs {', '.join(expected)} for {header.heads} heads of "
            f"{header.head_size}, found {found} and outputs {', '.join(sorted(outputs))}; make the bundle again: "
            f"lam-export memory"
        )
