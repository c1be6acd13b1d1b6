"""What is a list of texts and what is not, in every call that takes one; and engines that travel."""

import copy
import pickle
import shutil
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lam_engines import BundleError, EngineError, InputError, load_engine
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.embedding.texts import checked_texts, texts_of, without_surrogates
from lam_engines.serving.client import EmbeddingClient

TEXTS = ["the cat sleeps", "a man", "music"]

TABLES = {
    "a frame": (pd.DataFrame({"id": [1, 2, 3], "text": TEXTS}), "a DataFrame with 'id', 'text'", "x['text']"),
    "a frame of one column": (pd.DataFrame({"body": TEXTS}), "a DataFrame with 'body'", "x['body']"),
    "a frame without columns": (pd.DataFrame(), "with no names", "x['NAME']"),
    "a table": (pa.table({"text": TEXTS}), "a Table with 'text'", "x['text']"),
    "a batch of records": (pa.RecordBatch.from_pydict({"a": TEXTS, "b": TEXTS}), "with 'a', 'b'", "x['NAME']"),
    "a dict": ({"q1": "the cat", "q2": "a man"}, "a dict with 'q1', 'q2'", "list(x.values())"),
    "a dict of lists": ({"text": TEXTS}, "a dict with 'text'", "x['text']"),
    "an empty dict": ({}, "a dict with no names", "x['NAME']"),
    "another mapping": (UserDict(a="x"), "a UserDict with 'a'", "list(x.values())"),
    "an ordered dict": (OrderedDict(a="x"), "a OrderedDict with 'a'", "list(x.values())"),
    "a set": (set(TEXTS), "a set, which has no order", "sorted(x)"),
    "a frozen set": (frozenset(TEXTS), "a frozenset, which has no order", "sorted(x)"),
    "items of a dict": ({"a": "x"}.items(), "found a dict_items", "list(x.values())"),
    "bytes of a file": ([b"the cat"], "found bytes", ""),
    "no dimensions": (np.array("text"), "found ndarray", "[text]"),
    "no dimensions, as an object": (np.array("text", dtype=object), "found ndarray", "[text]"),
    "a number": (np.float32(3), "found float32", "[text]"),
}

LISTS: dict[str, Callable[[list[str]], Any]] = {
    "tuple": tuple,
    "deque": deque,
    "generator": lambda texts: (text for text in texts),
    "keys": lambda texts: dict.fromkeys(texts).keys(),
    "values": lambda texts: dict(enumerate(texts)).values(),
    "numpy": np.array,
    "objects": lambda texts: np.array(texts, dtype=object),
    "numpy's strings": lambda texts: np.array(texts, dtype=getattr(np.dtypes, "StringDType", lambda: "U")()),
    "series": lambda texts: pd.Series(texts, index=range(5, 5 + len(texts))),
    "categories": lambda texts: pd.Series(texts, dtype="category"),
    "series of arrow": lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
    "index": pd.Index,
    "arrow": pa.array,
    "chunks of arrow": lambda texts: pa.chunked_array([texts[:1], texts[1:]]),
    "views of arrow": lambda texts: pa.array(texts, pa.string_view()),
    "a dictionary of arrow": lambda texts: pa.array(texts).dictionary_encode(),
}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_no_list_is_refused_everywhere(tiny_engine: EmbeddingEngine, name: str) -> None:
    given, found, remedy = TABLES[name]
    client = EmbeddingClient("http://127.0.0.1:1", timeout=1, retries=0)
    calls = (tiny_engine.embed, tiny_engine.encode, lambda x: list(tiny_engine.embed_many(x)), client.embed)
    for call in (*calls, tiny_engine.embed_stream):
        with pytest.raises(InputError) as caught:
            call(given)
        assert found in str(caught.value)
        assert remedy in str(caught.value)
    client.close()


@pytest.mark.parametrize("name", LISTS)
def test_every_list_gives_the_same(tiny_engine: EmbeddingEngine, name: str) -> None:
    expected = tiny_engine.embed(TEXTS)
    for call in (tiny_engine.embed, tiny_engine.encode):
        np.testing.assert_array_equal(call(LISTS[name](TEXTS)), expected)
    ((window, vectors),) = tiny_engine.embed_many(LISTS[name](TEXTS))
    assert window == TEXTS
    np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, np.nan])
def test_a_missing_text_is_named(missing: object) -> None:
    with pytest.raises(InputError, match=r"expected a string at position 1, found .*; fill missing texts"):
        checked_texts(["a", missing])
    with pytest.raises(InputError, match="position 1"):
        checked_texts(pd.Series(["a", missing], dtype=object))


@pytest.mark.parametrize("position", [0, 4095, 4096, 9999])
def test_positions_of_a_stream_count_from_its_beginning(tiny_engine: EmbeddingEngine, position: int) -> None:
    texts = (None if i == position else "the cat" for i in range(10_000))
    with pytest.raises(InputError, match=f"a string at position {position}, found NoneType"):
        for _ in tiny_engine.embed_many(texts):
            pass


@pytest.mark.parametrize("value", [None, 2.0, "2", True, 0, -1, np.float32(2)])
def test_numbers_that_are_none(tiny_engine: EmbeddingEngine, value: Any) -> None:
    with pytest.raises(InputError, match=r"expected batch_size (as a whole number|of at least 1), found"):
        tiny_engine.encode(TEXTS, batch_size=value)
    if value is not None:
        with pytest.raises(InputError, match=r"expected batch_tokens (as a whole number|of at least 1), found"):
            tiny_engine.embed(TEXTS, batch_tokens=value)


@pytest.mark.parametrize("options", [{"threads": "4"}, {"threads": 2.0}, {"threads": True}])
def test_threads_that_are_no_number(tiny_bundle: Path, options: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="expected threads as a whole number"):
        load_engine(tiny_bundle, **options)


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**9])
def test_threads_that_no_machine_has(tiny_bundle: Path, threads: int) -> None:
    """A thousand million used to be blamed on the bundle: the runtime had no memory for them."""
    with pytest.raises(EngineError, match=r"expected 1 to 1024 threads, found -?\d+; leave it out for one per core"):
        load_engine(tiny_bundle, threads=threads)


def test_numpys_numbers_are_numbers(tiny_engine: EmbeddingEngine, tiny_bundle: Path) -> None:
    np.testing.assert_array_equal(tiny_engine.encode(TEXTS, batch_size=np.int64(2)), tiny_engine.encode(TEXTS, 2))
    with load_engine(tiny_bundle, threads=np.int32(1)) as engine:
        assert engine.embed(TEXTS).shape == (3, 32)


def test_a_text_without_surrogates() -> None:
    pairs = [("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "😀"), ("\udc00\ud800", "\ufffd\ufffd"), ("é\0", "é\0")]
    assert [without_surrogates(text) for text, _ in pairs] == [expected for _, expected in pairs]
    assert without_surrogates(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\ufffd"


def test_texts_are_taken_as_they_are_needed() -> None:
    taken = texts_of(iter(["a", 3]))
    assert next(taken) == "a"


def _embed(engine: EmbeddingEngine) -> np.ndarray:
    return engine.embed(TEXTS)


@pytest.mark.heavy
def test_an_engine_in_another_process(tiny_engine: EmbeddingEngine) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(_embed, tiny_engine).result(), tiny_engine.embed(TEXTS))


def test_an_engine_is_pickled_with_its_options(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    with load_engine(folder, "openvino", threads=1) as engine:
        for again in (pickle.loads(pickle.dumps(engine)), copy.deepcopy(engine)):
            assert type(again) is type(engine)
            assert again is not engine
            np.testing.assert_array_equal(again.embed(TEXTS), engine.embed(TEXTS))
            again.close()
        pickled = pickle.dumps(engine)
    np.testing.assert_array_equal(pickle.loads(pickled).embed(TEXTS).shape, (3, 32))  # of a closed engine: a fresh one
    manifest = (folder / "manifest.json").read_text()
    shutil.rmtree(folder)
    with pytest.raises(BundleError, match="bundle"):
        pickle.loads(pickled)
    assert manifest


def test_a_changed_bundle_is_not_the_pickled_engines(tiny_engine: EmbeddingEngine) -> None:
    load, (path, digest, *options) = tiny_engine.__reduce__()
    with pytest.raises(BundleError, match="found another; load it"):
        load(path, digest[::-1], *options)


def test_an_engine_that_was_made_by_itself_is_refused(tiny_engine: EmbeddingEngine) -> None:
    with pytest.raises(EngineError, match="expected an engine of load_engine to pickle"):
        pickle.dumps(type(tiny_engine)(tiny_engine.bundle))
