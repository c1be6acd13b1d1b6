"""One batch of token ids to embeddings: what is accepted, and what is refused."""

from typing import Any

import numpy as np
import pytest

from lam_engines import InputError
from lam_engines.embedding.engine import EmbeddingEngine

IDS = np.array([[2, 91, 92, 93, 3], [2, 94, 3, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
LAST, BEYOND = 127, 128
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("mask_dtype", [bool, np.int8, np.int32, np.int64, np.uint64])
def test_any_integers(tiny_engine: EmbeddingEngine, dtype: Any, mask_dtype: Any) -> None:
    found = tiny_engine.embed_ids(IDS.astype(dtype), MASK.astype(mask_dtype))
    assert (found.shape, found.dtype) == ((2, 32), np.float32)
    np.testing.assert_array_equal(found, tiny_engine.embed_ids(IDS, MASK))
    np.testing.assert_array_equal(found, tiny_engine.embed_ids(IDS.tolist(), MASK.tolist()))
    np.testing.assert_array_equal(found, tiny_engine.embed_ids(np.asfortranarray(IDS), MASK[:, ::-1][:, ::-1]))


def test_ids_give_what_their_text_gives(tiny_engine: EmbeddingEngine) -> None:
    (ids,) = tiny_engine.tokenizer.encode(["the cat sleeps"])
    expected = tiny_engine.embed(["the cat sleeps"])
    np.testing.assert_allclose(tiny_engine.embed_ids(ids[None]), expected, **CLOSE)
    padded, mask = np.pad(ids, (0, 200))[None], np.pad(np.ones_like(ids), (0, 200))[None]
    np.testing.assert_allclose(tiny_engine.embed_ids(padded, mask), expected, **CLOSE)


@pytest.mark.parametrize("anything", [0, LAST, BEYOND, -1, 2**62, -(2**63)])
def test_what_is_masked_does_not_matter(tiny_engine: EmbeddingEngine, anything: int) -> None:
    ids = np.where(MASK == 1, IDS, anything)
    np.testing.assert_array_equal(tiny_engine.embed_ids(ids, MASK), tiny_engine.embed_ids(IDS, MASK))
    assert ids[1, 3] == anything  # the caller's array is left alone


def test_a_row_of_no_tokens_is_zeros(tiny_engine: EmbeddingEngine) -> None:
    found = tiny_engine.embed_ids(IDS, MASK * [[1], [0]])
    np.testing.assert_array_equal(found[1], np.zeros(32))
    np.testing.assert_allclose(found[0], tiny_engine.embed_ids(IDS, MASK)[0], **CLOSE)
    np.testing.assert_array_equal(tiny_engine.embed_ids(IDS, MASK * 0), np.zeros((2, 32)))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 0)])
def test_nothing_to_embed(tiny_engine: EmbeddingEngine, shape: tuple[int, int]) -> None:
    found = tiny_engine.embed_ids(np.zeros(shape, dtype=np.int64))
    np.testing.assert_array_equal(found, np.zeros((shape[0], 32)))
    assert found.dtype == np.float32


@pytest.mark.parametrize("id_", [0, LAST])
def test_the_first_and_the_last_id(tiny_engine: EmbeddingEngine, id_: int) -> None:
    assert np.linalg.norm(tiny_engine.embed_ids(np.array([[id_]]))) == pytest.approx(1, abs=1e-5)


SHAPE = r"expected input_ids as integers \[batch, tokens\], found "


@pytest.mark.parametrize(
    ("ids", "mask", "part"),
    [
        (IDS[0], None, SHAPE + r"int64 \[5\]"),
        (IDS[None], None, SHAPE + r"int64 \[1, 2, 5\]"),
        (5, None, SHAPE + r"int64 \[\]"),
        (IDS.astype(float), None, SHAPE + r"float64 \[2, 5\]"),
        (IDS.astype(str), None, SHAPE),
        (IDS.astype(object), None, SHAPE + r"object \[2, 5\]"),
        ([[2, 5, 3], [2, 3]], None, "rows of unlike length; pad them"),
        ([["a text"]], None, SHAPE),
        (None, None, SHAPE),
        (IDS, MASK.astype(float), r"expected attention_mask as integers \[batch, tokens\], found float64"),
        (IDS, MASK[:, :4], r"expected attention_mask of shape \[2, 5\], found \[2, 4\]"),
        (IDS, MASK[0], r"expected attention_mask as integers \[batch, tokens\], found int64 \[5\]"),
        (IDS, MASK[:, ::-1], "padding on the right"),
        (IDS, MASK[:1, [0, 3, 1, 2, 4]].repeat(2, 0) * [1, 0, 1, 1, 1], "padding on the right"),
        (IDS, MASK * 2, "padding on the right"),
        (IDS, -MASK, "padding on the right"),
        (IDS, MASK.astype(np.uint64) * np.uint64(2**63), "padding on the right"),
        ([[2, BEYOND, 3]], None, "expected token ids 0 to 127, found 2 to 128; tokenise with the bundle's tokenizer"),
        ([[2, -1, 3]], None, "found -1 to 3"),
        (np.array([[2**64 - 1]], dtype=np.uint64), None, "expected token ids 0 to 127"),
        (np.array([[2**32]]), None, "expected token ids 0 to 127, found 4294967296"),
    ],
)
def test_what_is_no_batch_of_ids(tiny_engine: EmbeddingEngine, ids: Any, mask: Any, part: str) -> None:
    with pytest.raises(InputError, match=part) as caught:
        tiny_engine.embed_ids(ids, mask)
    assert str(caught.value).isprintable()
