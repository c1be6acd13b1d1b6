"""What every runtime must promise of an embedding, whatever runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from promises import AGREES, ODD_LENGTHS, Engine, Opener, Way, alone, batch_of, together

from lam_engines import BundleError, EngineError, InputError, load_engine
from lam_engines.embedding.batching import pad
from lam_engines.embedding.engine import EmbeddingEngine
from lam_export.model.encoder import Encoder

TEXTS = [
    "the cat sleeps",
    "",
    "a man is reading a red book in the old house by the water, and it is not a small house!",
    "music",
    "music",
    "the dog runs " * 60,
    "no",
]
AWKWARD = [
    " \t\n\r\u3000 ",
    "a" * 2**12,
    "😀" * 300,
    "a\ud800b \udfff c",
    "a\0b\0",
    "\u202eשלום עליכם مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "e" + "\u0301" * 300,
    "".join(map(chr, range(32))) + "\x7f\x85\ufeff\ufffe\uffff",
    "[CLS] [SEP] [PAD] [MASK] [UNK] ##a \U0010ffff",
]


@pytest.fixture
def near(way: Way) -> Callable[[np.ndarray, np.ndarray], None]:
    """That two embeddings of the same texts are the same, as far as the precision goes."""
    return lambda found, expected: np.testing.assert_allclose(found, expected, rtol=0, atol=way.itself)


def unit(vectors: np.ndarray) -> bool:
    return bool(np.isfinite(vectors).all() and np.allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=1e-5))


def test_odd_lengths_alone_and_padded_agree_with_the_reference(engine: Engine, way: Way, tiny_encoder: Encoder) -> None:
    rows = batch_of(*(length for length in ODD_LENGTHS if length <= (engine.max_tokens or length)))
    with torch.inference_mode():
        reference = [tiny_encoder(torch.from_numpy(row[None]), torch.ones(1, len(row), dtype=int))[0] for row in rows]
    expected = torch.cat(reference).numpy()
    for found in (alone(engine, rows), together(engine, rows)):
        assert (found.shape, found.dtype) == ((len(rows), 32), np.float32)
        assert unit(found)
        np.testing.assert_allclose(found, expected, rtol=0, atol=AGREES[way.precision])


def test_neighbours_and_padding_change_nothing(engine: Engine, near: Callable[..., None]) -> None:
    rows = batch_of(1, 2, 40, 130)
    expected = alone(engine, rows)
    random = np.random.default_rng(0)
    for seed in range(20):
        others = batch_of(*random.integers(1, 300, random.integers(0, 6)), seed=seed + 1)
        near(together(engine, [*others, *rows])[len(others) :], expected)
        near(together(engine, [*rows, *others])[: len(rows)], expected)


@pytest.mark.parametrize("anything", [0, 127, 128, -1, 2**62])
def test_what_is_masked_does_not_matter(engine: Engine, near: Callable[..., None], anything: int) -> None:
    ids, mask = pad(batch_of(40, 3, 17), 0)
    near(engine.embed_ids(np.where(mask == 1, ids, anything), mask), engine.embed_ids(ids, mask))


def test_a_row_of_no_tokens_is_zeros_and_leaves_the_others_alone(engine: Engine, near: Callable[..., None]) -> None:
    ids, mask = pad(batch_of(4, 9, 5), 0)
    found = engine.embed_ids(ids, mask * [[1], [0], [1]])
    np.testing.assert_array_equal(found[1], np.zeros(32))
    near(found[[0, 2]], engine.embed_ids(ids, mask)[[0, 2]])
    np.testing.assert_array_equal(engine.embed_ids(ids, mask * 0), np.zeros((3, 32)))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_nothing_to_embed(engine: Engine, shape: tuple[int, int]) -> None:
    found = engine.embed_ids(np.zeros(shape, dtype=np.int64))
    np.testing.assert_array_equal(found, np.zeros((shape[0], 32)))
    assert engine.embed([]).shape == (0, 32)


def test_texts_in_any_order_and_in_batches_of_any_size(engine: Engine, near: Callable[..., None]) -> None:
    vectors = engine.embed(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 32), np.float32)
    assert unit(vectors), "the empty text too"
    near(engine.embed(TEXTS[::-1]), vectors[::-1])
    near(np.concatenate([engine.embed([text]) for text in TEXTS]), vectors)
    for batch_tokens in (1, 7, 64, 10**9):
        near(engine.embed(TEXTS, batch_tokens=batch_tokens), vectors)
    assert len(np.unique(vectors.round(3), axis=0)) == len(set(TEXTS)), "unlike texts are unlike"


def test_awkward_texts(engine: Engine, near: Callable[..., None]) -> None:
    vectors = engine.embed([*AWKWARD, *TEXTS])
    assert unit(vectors)
    near(np.concatenate([engine.embed([text]) for text in AWKWARD]), vectors[: len(AWKWARD)])


def test_the_ids_of_a_text_give_what_the_text_gives(
    engine: Engine, tiny_engine: EmbeddingEngine, near: Callable[..., None]
) -> None:
    rows = tiny_engine.tokenizer.encode(TEXTS)
    near(together(engine, rows), engine.embed(TEXTS))


def test_every_function_gives_the_same(python_engine: EmbeddingEngine, near: Callable[..., None]) -> None:
    engine, expected = python_engine, python_engine.embed(TEXTS)
    near(engine.encode(TEXTS), expected)
    near(engine.encode(TEXTS, batch_size=2), expected)
    one = engine.encode(TEXTS[0])
    assert one.shape == (32,)
    near(one, expected[0])
    near(np.concatenate([vectors for _, vectors in engine.embed_many(iter(TEXTS))]), expected)
    assert list(engine.embed_many([])) == []
    done: list[int] = []
    engine.embed(TEXTS, batch_tokens=50, progress=done.append)
    assert sum(done) == len(TEXTS)


def test_arrays_of_any_layout(python_engine: EmbeddingEngine) -> None:
    ids = np.stack(batch_of(5, 5))
    expected = python_engine.embed_ids(ids)
    for same in (np.asfortranarray(ids), np.repeat(ids, 2, axis=1)[:, ::2], ids.astype(np.uint8), ids.tolist()):
        np.testing.assert_array_equal(python_engine.embed_ids(same), expected)


def test_results_are_the_callers(engine: Engine) -> None:
    """A runtime may use its buffers again: what it gave must not change, and what is done to it must not come back."""
    rows = batch_of(20, 7, 1)
    first = together(engine, rows)
    before = first.copy()
    together(engine, batch_of(20, 7, 1, seed=1))
    together(engine, batch_of(500, 3, seed=2))
    np.testing.assert_array_equal(first, before)
    first[:] = np.nan
    np.testing.assert_array_equal(together(engine, rows), before)


def test_a_shape_used_again_gives_the_same(engine: Engine) -> None:
    """Compiled, captured, replayed, and after its buffers had to grow."""
    rows = batch_of(20, 7, 1)
    first = together(engine, rows)
    for _ in range(4):
        np.testing.assert_array_equal(together(engine, rows), first)
    other = together(engine, batch_of(20, 7, 1, seed=2))
    assert np.abs(other - first).max() > 1e-3
    together(engine, batch_of(*[500] * 16, seed=3))
    np.testing.assert_array_equal(together(engine, rows), first)


def test_many_threads_share_an_engine(engine: Engine, near: Callable[..., None]) -> None:
    texts = [f"{text} {i}" for i in range(20) for text in TEXTS[:4]]
    expected = engine.embed(texts)
    parts = [slice(i, i + 20) for i in range(0, len(texts), 5)]
    with ThreadPoolExecutor(8) as pool:
        for part, found in zip(parts, pool.map(lambda part: engine.embed(texts[part]), parts), strict=True):
            near(found, expected[part])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(
    opener: Opener, engine: Engine, near: Callable[..., None], threads: int
) -> None:
    if not opener.takes_threads:
        with pytest.raises(EngineError, match="expected no threads with the engine"):
            opener(threads=threads)
        return
    with opener(threads=threads) as other:
        near(other.embed(TEXTS), engine.embed(TEXTS))


@pytest.mark.parametrize("wrong", [-1, 128, 10**6])
def test_ids_that_the_model_has_not(engine: Engine, wrong: int) -> None:
    with pytest.raises(InputError, match=rf"expected token ids 0 to 127, found .*{wrong}.*; tokenise with the bundle"):
        engine.embed_ids(np.array([[2, wrong, 3]]))


@pytest.mark.parametrize(
    ("ids", "mask", "part"),
    [
        ([1, 2], None, r"expected input_ids as integers \[batch, tokens\], found int64 \[2\]"),
        ([[1, 2]], [[0, 1]], "padding on the right"),
        ([[1, 2]], [[1]], r"expected attention_mask of shape \[1, 2\], found \[1, 1\]"),
    ],
)
def test_what_is_no_batch(python_engine: EmbeddingEngine, ids: Any, mask: Any, part: str) -> None:
    with pytest.raises(InputError, match=part):
        python_engine.embed_ids(np.array(ids), None if mask is None else np.array(mask))


def test_the_longest_text(engine: Engine, near: Callable[..., None]) -> None:
    longest = engine.max_tokens
    (row,) = batch_of(longest or 20_000)
    assert unit(engine.embed_ids(row[None]))
    if longest is not None:
        with pytest.raises(InputError, match=f"expected texts of at most {longest} tokens"):
            engine.embed_ids(np.append(row, 1)[None])


@pytest.mark.parametrize("option", [{"threads": 0}, {"threads": -3}, {"device": "tpu"}, {"precision": "fp7"}])
def test_options_that_there_are_not(registered: Opener, way: Way, option: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="expected"):
        load_engine(registered.bundle, way.name, **{"precision": way.precision, **option})


def test_a_closed_engine_says_so(registered: Opener) -> None:
    with registered() as engine:
        assert engine.embed(["a"]).shape == (1, 32)
    engine.close()
    for use in (lambda: engine.embed(["a"]), lambda: engine.embed_ids(np.array([[2, 3]]))):
        with pytest.raises(EngineError, match="this engine is closed"):
            use()


SIGNALLED = """
import gc, os, pathlib, signal, sys, threading
from promises import Opener, Way

name, precision, kind, bundle, build = sys.argv[1:]
opener = Opener(Way(name, precision, kind), pathlib.Path(bundle), pathlib.Path(build))
first, second = opener(), opener()
assert first.embed(["a"]).shape == second.embed(["a"]).shape
first.close()
del first
gc.collect()
thread = threading.Thread(target=second.close)
del second
thread.start()
thread.join()
del thread
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("it was handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.heavy
def test_signals_are_handled_whenever_and_wherever_an_engine_is_closed(opener: Opener, way: Way) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SIGNALLED, way.name, way.precision, way.kind, opener.bundle, opener.build or ""]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stdout) == (0, "it was handled\n"), result.stderr


def test_an_altered_file_is_refused(opener: Opener, way: Way, copied: Path) -> None:
    file = copied / opener.file_of(copied)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match="not the file that the bundle was made with"):
        opener(copied)
