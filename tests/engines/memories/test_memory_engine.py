"""Storing and recalling in ONNX Runtime: the formulas' own answers, and what is refused."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny
from bundles import forge
from memories import tiny_by_hand

from lam_engines import BundleError, EngineError, InputError, LamError, load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.memories.engine import MemoryEngine

H = tiny.HIDDEN


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, H)).astype(np.float32)


@pytest.fixture
def memory(tiny_memory: Path) -> MemoryEngine:
    return MemoryEngine(tiny_memory)


@pytest.mark.heavy
@pytest.mark.parametrize("stores", [1, 2, 40, 300])
def test_the_formulas(memory: MemoryEngine, stores: int) -> None:
    keys, queries = vectors(stores), vectors(5, seed=1)
    memory.store(keys)
    assert memory.stored == stores
    found = memory.recall(queries)
    assert found.dtype == np.float32
    assert np.abs(found - tiny_by_hand(keys, queries)).max() <= 5e-5


def test_one_by_one_is_all_at_once(tiny_memory: Path, memory: MemoryEngine) -> None:
    keys, values, queries = vectors(7), vectors(7, seed=3), vectors(4, seed=1)
    other = MemoryEngine(tiny_memory)
    together = memory.store(keys, values)
    single = np.array([other.store(key, value) for key, value in zip(keys, values, strict=True)])
    np.testing.assert_array_equal(single, together)
    np.testing.assert_array_equal(memory.recall(queries), other.recall(queries))
    one_by_one = np.array([memory.recall(query) for query in queries])
    np.testing.assert_allclose(memory.recall(queries), one_by_one, rtol=0, atol=1e-6)
    assert memory.recall(queries[:0]).shape == memory.store(keys[:0]).shape == (0, H)


def test_what_is_recalled_is_the_value_that_was_stored(memory: MemoryEngine) -> None:
    """With a single memory in it, every answer points, head by head, where the value does or the other way."""
    key, value = vectors(1), vectors(1, seed=3)
    stored = memory.store(key, value)
    found = memory.recall(vectors(3, seed=1))
    mine, theirs = found.reshape(3, tiny.HEADS, -1), stored.reshape(1, tiny.HEADS, -1)
    cosine = (mine * theirs).sum(-1) / np.linalg.norm(mine, axis=-1) / np.linalg.norm(theirs, axis=-1)
    np.testing.assert_allclose(np.abs(cosine), 1, atol=1e-5)
    np.testing.assert_array_equal(stored, memory.store(vectors(1, seed=9), value), "the key has no part in it")


def test_recall_changes_nothing_and_reset_forgets(memory: MemoryEngine) -> None:
    queries = vectors(2, seed=1)
    assert not memory.recall(queries).any()
    memory.store(vectors(3))
    before = memory.recall(queries)
    np.testing.assert_array_equal(memory.recall(queries), before)
    memory.reset()
    assert memory.stored == 0
    assert not memory.recall(queries).any()
    memory.store(vectors(3))
    np.testing.assert_array_equal(memory.recall(queries), before)


def test_embeddings_can_be_stored(memory: MemoryEngine, tiny_engine: EmbeddingEngine) -> None:
    texts = ["a cat sleeps", "the dog runs", ""]
    values = memory.store(tiny_engine.embed(texts))
    assert values.shape == (3, H)
    assert np.isfinite(memory.recall(tiny_engine.embed(["which animal?"]))).all()


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int64])
def test_numbers_of_other_types(memory: MemoryEngine, tiny_memory: Path, kind: type) -> None:
    keys = (10 * vectors(3)).astype(kind)
    other = MemoryEngine(tiny_memory)
    np.testing.assert_array_equal(memory.store(keys.tolist()), other.store(keys.astype(np.float32)))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (np.zeros(H + 1), r"expected keys as numbers \[n, 32\], .* found float64 \[33\]"),
        (np.zeros((2, 3, H)), r"found float64 \[2, 3, 32\]"),
        (np.zeros(()), r"found float64 \[\]"),
        (["a text"], r"found <U6 \[1\]"),
        ([[1.0] * H, [1.0]], "found rows of unlike length"),
        (np.zeros(H, dtype=complex), "found complex128"),
        (np.full(H, np.nan), "expected finite numbers in keys, found NaN or infinity"),
        (np.full(H, 1e300), "found NaN or infinity"),
    ],
)
def test_what_is_not_stored(memory: MemoryEngine, keys: object, message: str) -> None:
    for action in (memory.store, memory.recall):
        with pytest.raises(InputError, match=message.replace("keys", "(keys|queries)")):
            action(keys)
    assert memory.stored == 0


def test_keys_and_values_that_do_not_pair(memory: MemoryEngine) -> None:
    with pytest.raises(InputError, match="expected as many values as keys, 3, found 2"):
        memory.store(vectors(3), vectors(2))
    with pytest.raises(InputError, match="expected finite numbers in values"):
        memory.store(vectors(1), np.full((1, H), np.inf))


def test_odd_vectors(memory: MemoryEngine) -> None:
    """A zero vector has a key too: the short convolution has a bias."""
    memory.store(np.zeros(H))
    memory.store(1e-30 * vectors(1))
    assert np.isfinite(memory.recall(np.zeros(H))).all()
    before = memory.recall(vectors(1))
    with pytest.raises(EngineError, match=r"within the range of float32.*memory\.reset\(\)"):
        memory.store(1e30 * vectors(2))
    assert memory.stored == 2
    np.testing.assert_array_equal(memory.recall(vectors(1)), before)


def test_many_threads(memory: MemoryEngine) -> None:
    """All of them the same vector, so that their order does not matter."""
    keys = vectors(1)
    with ThreadPoolExecutor(8) as pool:
        stores = [pool.submit(memory.store, keys) for _ in range(64)]
        answers = [pool.submit(memory.recall, keys) for _ in range(64)]
        assert all(np.isfinite(answer.result()).all() for answer in answers)
        assert all(store.result().shape == (1, H) for store in stores)
    assert memory.stored == 64
    together = memory.recall(keys)
    memory.reset()
    memory.store(np.repeat(keys, 64, axis=0))
    np.testing.assert_array_equal(memory.recall(keys), together)


def test_a_closed_memory(tiny_memory: Path) -> None:
    with MemoryEngine(tiny_memory) as memory:
        memory.store(vectors(1))
    for action in (memory.store, memory.recall):
        with pytest.raises(EngineError, match=r"this memory is closed; open the bundle again: MemoryEngine\(BUNDLE\)"):
            action(vectors(1))


def test_each_kind_of_bundle_is_refused_as_the_other(tiny_memory: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"expected the bundle of a memory at .*, found that of an encoder; .*memory"):
        MemoryEngine(tiny_bundle)
    for engine in ("onnxruntime", "openvino", "tensorrt"):
        with pytest.raises(LamError, match=r"expected the bundle of an encoder at .*, found that of a memory; .*onnx"):
            load_engine(tiny_memory, engine)
    with pytest.raises(BundleError, match="expected a bundle"):
        MemoryEngine(tmp_path)
    assert Bundle(tiny_memory, kind=None).manifest.memory_layer == tiny.LAYERS - 1


def test_an_altered_graph(tiny_memory: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_memory, tmp_path / "memory"))
    graph = bundle / "memory.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="is not the file that the bundle was made with"):
        MemoryEngine(bundle)


def test_a_manifest_that_does_not_fit_its_graph(tiny_memory: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_memory, tmp_path / "memory"))
    for heads, said in ((4, "expected memory.onnx with inputs .* for 4 heads of 8"), (3, "for 3 heads of 10")):
        forge(bundle, lambda fields, heads=heads: fields["model"].update(num_attention_heads=heads))
        with pytest.raises(BundleError, match=said):
            MemoryEngine(bundle)
    forge(bundle, lambda fields: fields["model"].update(num_attention_heads=0))
    with pytest.raises(BundleError, match="num_attention_heads"):
        MemoryEngine(bundle)
