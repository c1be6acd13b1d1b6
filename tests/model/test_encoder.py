"""The reference encoder against the model written out by hand, and against its promise about batches."""

import copy
import dataclasses
from fractions import Fraction
from pathlib import Path

import by_hand
import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from lam_export.model.checkpoint import Checkpoint, load_checkpoint
from lam_export.model.encoder import Encoder, position_rows

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint_folder: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint_folder)


@pytest.fixture(scope="module")
def arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    return {name: t.double().numpy() for name, t in checkpoint.tensors.items()}


def text(length: int, seed: int = 0) -> list[int]:
    return torch.randint(5, tiny.VOCAB, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def embed(encoder: Encoder, texts: list[list[int]], padding: int = 0, pad_id: int = 0) -> tuple[Tensor, Tensor]:
    tokens = max(len(ids) for ids in texts) + padding
    ids = torch.tensor([ids + [pad_id] * (tokens - len(ids)) for ids in texts])
    mask = torch.tensor([[1] * len(ids) + [0] * (tokens - len(ids)) for ids in texts])
    return encoder(ids, mask)


@pytest.mark.parametrize("chunk", [16, 128])
@pytest.mark.parametrize("length", [1, 2, 5, 15, 16, 17, 32, 40, 80])
def test_equals_the_model_by_hand(
    checkpoint: Checkpoint, arrays: dict[str, np.ndarray], length: int, chunk: int
) -> None:
    assert checkpoint.config.position_rows == 16
    tokens = by_hand.token_embeddings(arrays, text(length), chunk)
    sentence, token_embeddings = embed(Encoder(checkpoint, chunk_size=chunk).double(), [text(length)])
    np.testing.assert_allclose(token_embeddings[0].numpy(), tokens, rtol=0, atol=1e-10)
    np.testing.assert_allclose(sentence[0].numpy(), by_hand.sentence_embedding(tokens), rtol=0, atol=1e-10)


def test_float32_is_close_to_the_model_by_hand(tiny_encoder: Encoder, arrays: dict[str, np.ndarray]) -> None:
    sentence, _ = embed(tiny_encoder, [text(200)])
    assert sentence.dtype == torch.float32
    expected = by_hand.sentence_embedding(by_hand.token_embeddings(arrays, text(200), 128))
    np.testing.assert_allclose(sentence[0].numpy(), expected, rtol=0, atol=1e-5)


def test_one_gelu_where_the_config_says_so(checkpoint: Checkpoint, arrays: dict[str, np.ndarray]) -> None:
    once = dataclasses.replace(checkpoint, config=dataclasses.replace(checkpoint.config, ffn_activation_passes=1))
    _, tokens = embed(Encoder(once).double(), [text(20)])
    np.testing.assert_allclose(
        tokens[0].numpy(), by_hand.token_embeddings(arrays, text(20), 128, gelu_passes=1), rtol=0, atol=1e-10
    )
    assert np.abs(tokens[0].numpy() - by_hand.token_embeddings(arrays, text(20), 128)).max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 128, 131])
def test_a_text_is_embedded_as_if_alone(tiny_encoder: Encoder, length: int, dtype: torch.dtype) -> None:
    encoder = copy.deepcopy(tiny_encoder).to(dtype)
    tolerance = TOLERANCE[dtype]
    mine = text(length)
    alone, alone_tokens = embed(encoder, [mine])
    assert alone.norm().item() == pytest.approx(1, abs=1e-5)
    for padding in (1, 2, 40, 200):
        padded, padded_tokens = embed(encoder, [mine], padding)
        torch.testing.assert_close(padded, alone, rtol=0, atol=tolerance)
        # A single token's entries reach 3, those of an embedding stay under 1.
        torch.testing.assert_close(padded_tokens[:, :length], alone_tokens, rtol=0, atol=5 * tolerance)
        assert not padded_tokens[:, length:].any()
    for seed, neighbours in enumerate(([1], [300], [20, 7, 129, 64], [length] * 3), start=1):
        batch = [text(n, seed) for n in neighbours]
        for place in range(len(batch) + 1):
            together, _ = embed(encoder, [*batch[:place], mine, *batch[place:]])
            torch.testing.assert_close(together[place : place + 1], alone, rtol=0, atol=tolerance)


def test_the_ids_in_the_padding_do_not_matter(tiny_encoder: Encoder) -> None:
    texts = [text(30), text(7, 1)]
    sentence, tokens = embed(tiny_encoder, texts, padding=3)
    other_sentence, other_tokens = embed(tiny_encoder, texts, padding=3, pad_id=77)
    assert torch.equal(sentence, other_sentence)
    assert torch.equal(tokens, other_tokens)


@pytest.mark.parametrize("neighbours", [[], [text(30)]])
def test_a_text_of_no_tokens_is_the_zero_vector(tiny_encoder: Encoder, neighbours: list[list[int]]) -> None:
    sentence, tokens = embed(tiny_encoder, [[], *neighbours], padding=4)
    assert not sentence[0].any()
    assert not tokens[0].any()
    assert sentence.isfinite().all()
    for row, ids in zip(sentence[1:], neighbours, strict=True):
        torch.testing.assert_close(row, embed(tiny_encoder, [ids])[0][0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 16, 512])
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 511, 512, 513, 4096, 100_000])
def test_position_rows_are_exact(rows: int, length: int) -> None:
    row, fraction = position_rows(torch.tensor([length]), length, rows, torch.float64)
    at = [Fraction(t * (rows - 1), length - 1) if length > rows else Fraction(t) for t in range(length)]
    lower = [x.numerator // x.denominator for x in at]
    assert row[0].tolist() == lower
    assert fraction[0].tolist() == [float(x - i) for x, i in zip(at, lower, strict=True)]
    single = position_rows(torch.tensor([length]), length, rows, torch.float32)
    assert torch.equal(single[0], row)
    torch.testing.assert_close(single[1].double(), fraction, rtol=1e-7, atol=0)


def test_position_rows_of_a_batch_are_those_of_each_text() -> None:
    lengths = [0, 1, 15, 16, 17, 80, 33]
    row, fraction = position_rows(torch.tensor(lengths, dtype=torch.int32), 80, 16, torch.float64)
    assert row.min() >= 0
    assert row.max() <= 15
    for i, n in enumerate(lengths):
        own_row, own_fraction = position_rows(torch.tensor([n]), n, 16, torch.float64)
        assert torch.equal(row[i, :n], own_row[0])
        assert torch.equal(fraction[i, :n], own_fraction[0])


def test_an_encoder_is_for_inference(tiny_encoder: Encoder) -> None:
    assert not tiny_encoder.training
    assert {p.dtype for p in tiny_encoder.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in tiny_encoder.parameters())


def test_half_precision_checkpoints_are_computed_in_float32(tmp_path: Path) -> None:
    halves = {name: t.half() for name, t in tiny.lam_tensors().items()}
    half = load_checkpoint(tiny.write_checkpoint(tmp_path / "half", tensors=halves))
    wide = load_checkpoint(
        tiny.write_checkpoint(tmp_path / "wide", tensors={name: t.float() for name, t in halves.items()})
    )
    assert half.tensors["ffn_norms.0.weight"].dtype == torch.float16
    assert torch.equal(embed(Encoder(half), [text(40)])[0], embed(Encoder(wide), [text(40)])[0])


def test_a_form_that_does_not_exist(checkpoint: Checkpoint) -> None:
    with pytest.raises(KeyError):
        Encoder(checkpoint, form="flux")
