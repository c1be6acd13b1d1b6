"""Long texts in windows: the same embedding as in one piece, whatever the window."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.long_texts import WINDOW_TOKENS, Windows, flat_windows, recurrent_windows
from lam_engines.errors import InputError
from lam_export.model.encoder import Encoder

CHUNK = 128
WINDOWS = pytest.mark.parametrize("windows", [flat_windows, recurrent_windows], ids=["flat", "recurrent"])


def text(encoder: Encoder, tokens: int) -> np.ndarray:
    return np.random.default_rng(tokens).integers(1, encoder.config.vocab_size, tokens)


@WINDOWS
@pytest.mark.parametrize("tokens", [1, 127, 128, 129, 300, 1000, 2000])
@pytest.mark.parametrize("own_tokens", [1, CHUNK, 3 * CHUNK])
def test_windows_own_every_token_once(windows: Callable[..., Windows], tokens: int, own_tokens: int) -> None:
    ids = np.arange(tokens)
    own = []
    for part, (first, total, start, end) in windows([ids], tokens, CHUNK, layers=2, own_tokens=own_tokens):
        assert first % CHUNK == 0
        assert total == tokens
        np.testing.assert_array_equal(part, ids[first : first + len(part)])
        own += part[start:end].tolist()
    assert own == ids.tolist()


@WINDOWS
@pytest.mark.parametrize("size", [1, 100, 1000])
def test_pieces_of_any_size_make_the_same_windows(windows: Callable[..., Windows], size: int) -> None:
    ids = np.arange(1500, dtype=np.int32)
    pieces = [ids[:0], *(ids[i : i + size] for i in range(0, len(ids), size)), ids[:0]]
    whole = windows([ids], 1500, CHUNK, 2, 2 * CHUNK)
    for (part, window), (expected, expected_window) in zip(
        windows(pieces, 1500, CHUNK, 2, 2 * CHUNK), whole, strict=True
    ):
        assert part.dtype == np.int64
        np.testing.assert_array_equal(part, expected)
        np.testing.assert_array_equal(window, expected_window)


@WINDOWS
def test_no_more_is_read_than_a_window_needs(windows: Callable[..., Windows]) -> None:
    read = 0

    def pieces() -> Iterator[np.ndarray]:
        nonlocal read
        for i in range(100):
            read = 10 * (i + 1)
            yield np.arange(10 * i, 10 * i + 10)

    for part, (first, *_) in windows(pieces(), 1000, 16, layers=2, own_tokens=64):
        assert read - (first + len(part)) < 10


@WINDOWS
@pytest.mark.parametrize("told", [0, 1, 128, 299, 301, 1000])
def test_a_wrong_number_of_tokens_is_seen(windows: Callable[..., Windows], told: int) -> None:
    with pytest.raises(InputError, match=rf"expected {told:,} tokens \(tokens=\), found 300; pass tokens=300"):
        list(windows([np.arange(100)] * 3, told, CHUNK, 2, CHUNK))


@pytest.mark.parametrize("tokens", [1, 128, 129, 300, 1000])
@pytest.mark.parametrize("own_tokens", [CHUNK, 3 * CHUNK])
def test_sums_of_windows_are_the_sum_of_the_text(tiny_encoder: Encoder, tokens: int, own_tokens: int) -> None:
    encoder = copy.deepcopy(tiny_encoder).double()
    ids = text(encoder, tokens)
    total = torch.zeros(1, encoder.config.hidden_size, dtype=torch.float64)
    for part, window in flat_windows([ids], tokens, CHUNK, encoder.config.num_hidden_layers, own_tokens):
        rows = torch.from_numpy(part)[None]
        total += encoder(rows, torch.ones_like(rows), torch.from_numpy(window))[0]
    rows = torch.from_numpy(ids)[None]
    embedding, tokens_of_text = encoder(rows, torch.ones_like(rows))
    torch.testing.assert_close(total, tokens_of_text.sum(1), rtol=0, atol=1e-11 * tokens)
    torch.testing.assert_close(total / total.norm(), embedding, rtol=0, atol=1e-13)


def test_a_window_of_zeros_is_no_window(tiny_encoder: Encoder) -> None:
    rows = torch.from_numpy(text(tiny_encoder, 300)).reshape(3, 100)
    mask = (torch.arange(100) < torch.tensor([[100], [1], [0]])).long()
    whole = tiny_encoder(rows, mask)
    for given, expected in zip(tiny_encoder(rows, mask, torch.zeros(4, dtype=torch.int64)), whole, strict=True):
        assert torch.equal(given, expected)


def test_the_engine_takes_long_texts_in_windows(tiny_bundle: Path, tiny_encoder: Encoder) -> None:
    import onnxruntime

    ids = text(tiny_encoder, 2 * WINDOW_TOKENS + 257)
    mask = np.ones((3, len(ids)), dtype=np.int64)
    mask[1, WINDOW_TOKENS + 1 :] = 0
    mask[2] = 0
    bundle = Bundle(tiny_bundle)
    session = onnxruntime.InferenceSession(bundle.read("model.onnx"), providers=["CPUExecutionProvider"])
    batch = {"input_ids": np.tile(ids, (3, 1)), "attention_mask": mask}
    expected = session.run(["sentence_embedding"], batch)[0]
    with load_engine(tiny_bundle) as engine:
        found = engine.embed_ids(batch["input_ids"], mask)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert not found[2].any()


def test_the_manifest_names_the_inputs_that_must_be_given(tiny_bundle: Path) -> None:
    graphs = Bundle(tiny_bundle).manifest.graphs
    assert all([spec.name for spec in graph.inputs] == ["input_ids", "attention_mask"] for graph in graphs.values())
