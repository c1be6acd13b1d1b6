"""A memory of vectors on ONNX Runtime: stored one by one, recalled, saved and loaded. Numpy only, never torch."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..bundles.bundle import Bundle
from ..contract import MEMORY_MODEL
from ..errors import BundleError, EngineError, InputError
from .snapshots import Header, read_snapshot, write_snapshot
from .state import INPUTS, OUTPUTS, PAST, PRESENT, within_range

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_State = tuple[int, tuple[np.ndarray, ...]]
"""How many memories were stored, and the arrays of ``STATES`` with a batch of one. Replaced, never changed."""


class MemoryEngine:
    """A fast and a slow memory of vectors. Thread-safe: stores take turns, recalls see the last one that is done.

    with MemoryEngine("my-memory") as memory, load_engine("my-model") as engine:
        values = memory.store(engine.embed(texts))
        found = memory.recall(engine.embed(["a question"]))
        memory.save("notes.memory")
    """

    def __init__(self, bundle: Bundle | Path | str, *, threads: int = 1) -> None:
        """Open a memory's bundle; nothing is stored yet.

        Args:
            bundle: what ``lam-export memory`` wrote: where it is, or an open one.
            threads: for each operator; a step is so small that more than one seldom helps.

        Raises:
            BundleError: it is missing, altered, broken, or an encoder's.
            EngineError: ONNX Runtime is not there.
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
        """How many memories were stored since the memory was empty, those before a save and load included."""
        return self._state[0]

    def store(self, keys: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """Store vectors, one after the other: each fades those before it.

        Args:
            keys: ``[n, hidden]``, or ``[hidden]`` for one: hidden states of tokens, or embeddings of texts.
            values: as many, what is to be found by the keys; the keys themselves if left out.

        Returns:
            ``[n, hidden]`` (or ``[hidden]``) float32: each value as the layer projects it. What :meth:`recall` gives
            lies in the same space; keep these beside your data to know what was recalled.

        Raises:
            InputError: wrong shape, or a value that is not finite. Nothing was stored.
            EngineError: the engine is closed, or the state would pass the range of float32. Nothing was stored.
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
                stored, *after = self._run(["stored", *PRESENT], feed, state)
                projected[i], state = stored[0], tuple(after)
            if not within_range(state):
                raise EngineError(
                    "expected a state within the range of float32, found that storing this passes it; store smaller "
                    "vectors, or begin anew: memory.reset()"
                )
            self._state = count + len(keys), state
        return projected[0] if single else projected

    def recall(self, queries: np.ndarray) -> np.ndarray:
        """What the memory answers; it is not changed.

        Args:
            queries: ``[n, hidden]``, or ``[hidden]`` for one; each is a question of its own.

        Returns:
            The same shape, float32: the heads' answers side by side, in the space of what :meth:`store` returned;
            zeros if nothing is stored.

        Raises:
            InputError: wrong shape, or a value that is not finite.
            EngineError: the engine is closed.
        """
        queries, single = self._vectors("queries", queries)
        vector, no = np.zeros((1, self.hidden_size), np.float32), np.zeros((1, 1), bool)
        feed = dict(zip(INPUTS, (vector, vector, queries[None], no), strict=True))
        answers: np.ndarray = self._run(["recall"], feed, self._state[1])[0][0]
        return answers[0] if single else answers

    def reset(self) -> None:
        """Forget everything."""
        with self._writing:
            self._state = self._empty()

    def save(self, path: Path | str) -> None:
        """Write the memory to one file, whole or not at all: see :func:`.snapshots.write_snapshot`.

        Raises:
            SnapshotError: it could not be written; what was there is unchanged.
        """
        with self._writing:
            stored, arrays = self._state
            write_snapshot(Path(path), self._header.model_copy(update={"stored": stored}), arrays)

    def load(self, path: Path | str) -> None:
        """Take up a memory that was saved, in place of this one.

        Raises:
            SnapshotError: there is none, it is damaged, or it is of another checkpoint, layer or format version; the
                memory is as it was.
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
        """``[n, hidden]`` float32, and whether one vector was given without the first dimension."""
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
    vectors = {"key": [hidden_size], "value": [hidden_size], "query": [hidden_size], "store": [1]}
    expected = vectors | {name: list(shape) for name, shape in zip(PAST, header.shapes, strict=True)}
    found = {value.name: value.shape[2 if value.name == "query" else 1 :] for value in session.get_inputs()}
    outputs = {value.name for value in session.get_outputs()}
    if found != expected or outputs != {*OUTPUTS, *PRESENT}:
        raise BundleError(
            f"expected {MEMORY_MODEL} with inputs {', '.join(expected)} for {header.heads} heads of "
            f"{header.head_size}, found {found} and outputs {', '.join(sorted(outputs))}; make the bundle again: "
            f"lam-export memory"
        )
