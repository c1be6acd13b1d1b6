"""What the real server answers for a memory: each sequence of requests has one of its own, as the engine's."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny
from served import CLOSE

from lam_engines.memories.engine import MemoryEngine
from lam_engines.serving.triton import MemoryServing, TritonServer, write_memory_repository
from lam_engines.serving.triton.installation import Installation

H = tiny.HIDDEN
IDLE = 3.0
Ask = Callable[..., tuple[np.ndarray, np.ndarray]]


def vectors(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*shape, H)).astype(np.float32)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_memory: Path, triton_installation: Installation
) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("memory-server") / "models"
    repository = write_memory_repository(tiny_memory, folder, MemoryServing(idle_timeout=IDLE))
    with TritonServer(repository, installation=triton_installation) as server:
        yield server


@pytest.fixture(scope="module")
def ask(server: TritonServer) -> Ask:
    """A request over gRPC: store a vector, if one is given, and ask with some; ``recall`` and ``stored``."""
    from tritonclient.grpc import InferenceServerClient, InferInput

    client = InferenceServerClient(server.grpc_url)

    def ask(
        sequence: int | str, key: np.ndarray | None, queries: np.ndarray, *, start: bool = False, end: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        vector = np.zeros((1, H), np.float32) if key is None else key[None]
        given = []
        for name, values, kind in (
            ("key", vector, "FP32"),
            ("value", vector, "FP32"),
            ("query", queries[None], "FP32"),
            ("store", np.array([[key is not None]]), "BOOL"),
        ):
            given.append(InferInput(name, values.shape, kind).set_data_from_numpy(values))
        flags = {"sequence_id": sequence, "sequence_start": start, "sequence_end": end}
        found = client.infer("lam_memory", given, client_timeout=60, **flags)
        return found.as_numpy("recall")[0], found.as_numpy("stored")[0]

    return ask


def test_two_interleaved_sequences_do_not_mix(ask: Ask, tiny_memory: Path) -> None:
    keys, queries = vectors(6, 2), vectors(3, seed=1)
    engines = [MemoryEngine(tiny_memory) for _ in range(2)]
    for step in range(6):
        for row, sequence in enumerate((1, "a name")):
            recall, stored = ask(sequence, keys[step, row], queries, start=step == 0)
            np.testing.assert_allclose(stored, engines[row].store(keys[step, row]), **CLOSE)
            np.testing.assert_allclose(recall, engines[row].recall(queries), **CLOSE)
    for row, sequence in enumerate((1, "a name")):
        recall, _ = ask(sequence, None, queries[:2], end=True)  # only asked
        np.testing.assert_allclose(recall, engines[row].recall(queries[:2]), **CLOSE)


def test_many_sequences_at_once(ask: Ask, tiny_memory: Path) -> None:
    """Those that ask as much go through the model together; some ask nothing."""

    def one(sequence: int) -> None:
        engine = MemoryEngine(tiny_memory)
        keys, queries = vectors(5, seed=sequence), vectors(sequence % 3, seed=1)
        for step, key in enumerate(keys):
            recall, _ = ask(sequence, key, queries, start=step == 0, end=step == 4)
            engine.store(key)
            np.testing.assert_allclose(recall, engine.recall(queries), **CLOSE)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(100, 132)))


def refused(ask: Ask, *arguments: object, **flags: bool) -> str:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as caught:
        ask(*arguments, **flags)
    assert str(caught.value.status()) == "StatusCode.INVALID_ARGUMENT"
    return str(caught.value.message())


def test_a_start_is_an_empty_memory(ask: Ask) -> None:
    query = vectors(1, seed=1)
    assert ask(200, vectors(1)[0], query, start=True)[0].any()
    assert not ask(200, None, query, start=True)[0].any()
    ask(200, None, query, end=True)
    assert "must specify the START flag" in refused(ask, 200, None, query)


def test_what_is_refused_leaves_the_memory_alone(ask: Ask) -> None:
    query, key = vectors(1, seed=1), vectors(1)[0]
    before, _ = ask(300, key, query, start=True)
    assert "expected finite numbers in key, value and query" in refused(ask, 300, np.full_like(key, np.nan), query)
    assert "expected finite numbers in key, value and query" in refused(ask, 300, None, np.full_like(query, np.inf))
    assert "within the range of float32" in refused(ask, 300, 1e30 * key, query)
    assert "unexpected shape for input" in refused(ask, 300, key[:-1], query)
    np.testing.assert_array_equal(ask(300, None, query, end=True)[0], before)


def test_an_idle_sequence_is_forgotten(ask: Ask) -> None:
    query = vectors(1, seed=1)
    ask(400, vectors(1)[0], query, start=True)
    time.sleep(2 * IDLE)
    assert "must specify the START flag" in refused(ask, 400, None, query)
    assert not ask(400, None, query, start=True, end=True)[0].any()


def test_a_model_that_died_is_started_again_empty(server: TritonServer, ask: Ask) -> None:
    import os
    import signal

    ask(500, vectors(1)[0], vectors(1, seed=1), start=True)
    (pid,) = server.model_pids
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while server.restarts == 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert server.restarts == 1
    assert "must specify the START flag" in refused(ask, 500, None, vectors(1, seed=1))
