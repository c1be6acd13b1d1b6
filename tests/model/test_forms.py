"""The encoder in its recurrent and parallel form, against the model by hand, and against its promise about batches."""

import dataclasses
from functools import partial
from pathlib import Path

import by_hand
import by_hand_forms
import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from lam_export.model.checkpoint import Checkpoint, load_checkpoint
from lam_export.model.encoder import Encoder
from lam_export.model.forms import CHUNK_SIZES, FORMS
from lam_export.model.forms.parallel import decay_to_the_end

MIXERS = {"recurrent": by_hand_forms.recurrent_mixer, "parallel": by_hand_forms.parallel_mixer}
NEW = pytest.mark.parametrize("form", MIXERS)
OPTIONS = {
    "cross_coupling": False,
    "final_norm": "end",
    "readout_norm": False,
    "surprise_threshold": 0.55,
}


@pytest.fixture(scope="module", params=["per-head", "shared"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    tensors = tiny.lam_tensors(shared_flux=request.param == "shared")
    return load_checkpoint(tiny.write_checkpoint(tmp_path_factory.mktemp("forms"), tensors=tensors))


def text(length: int, seed: int = 0) -> list[int]:
    return torch.randint(5, tiny.VOCAB, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def embed(encoder: Encoder, texts: list[list[int]], padding: int = 0) -> tuple[Tensor, Tensor]:
    tokens = max(len(ids) for ids in texts) + padding
    ids = torch.tensor([ids + [0] * (tokens - len(ids)) for ids in texts])
    mask = torch.tensor([[1] * len(ids) + [0] * (tokens - len(ids)) for ids in texts])
    return encoder(ids, mask)


@NEW
@pytest.mark.parametrize("length", [1, 2, 16, 33, 70])
def test_equals_the_model_by_hand(checkpoint: Checkpoint, form: str, length: int) -> None:
    arrays = {name: t.double().numpy() for name, t in checkpoint.tensors.items()}
    tokens = by_hand.token_embeddings(arrays, text(length), 32, mixer=MIXERS[form])
    sentence, token_embeddings = embed(Encoder(checkpoint, form).double(), [text(length)])
    np.testing.assert_allclose(token_embeddings[0].numpy(), tokens, rtol=0, atol=1e-10)
    np.testing.assert_allclose(sentence[0].numpy(), by_hand.sentence_embedding(tokens), rtol=0, atol=1e-10)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_the_config_reaches_the_rule(checkpoint: Checkpoint, option: str) -> None:
    changed = dataclasses.replace(
        checkpoint, config=dataclasses.replace(checkpoint.config, **{option: OPTIONS[option]})
    )
    of_the_rule = {option: False if option == "final_norm" else OPTIONS[option]}
    arrays = {name: t.double().numpy() for name, t in checkpoint.tensors.items()}
    mixer = partial(by_hand_forms.recurrent_mixer, **of_the_rule)
    tokens = by_hand.token_embeddings(arrays, text(40), 16, mixer=mixer)
    _, found = embed(Encoder(changed, "recurrent", 16).double(), [text(40)])
    np.testing.assert_allclose(found[0].numpy(), tokens, rtol=0, atol=1e-10)
    _, published = embed(Encoder(checkpoint, "recurrent", 16).double(), [text(40)])
    assert (found - published).abs().max() > 1e-4


@NEW
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("length", [1, 33, 131])
def test_a_text_is_embedded_as_if_alone(checkpoint: Checkpoint, form: str, length: int, dtype: torch.dtype) -> None:
    encoder = Encoder(checkpoint, form).to(dtype)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    mine = text(length)
    alone, _ = embed(encoder, [mine])
    assert alone.norm().item() == pytest.approx(1, abs=1e-5)
    for padding in (1, 40):
        padded, tokens = embed(encoder, [mine], padding)
        torch.testing.assert_close(padded, alone, rtol=0, atol=tolerance)
        assert not tokens[:, length:].any()
    for seed, neighbours in enumerate(([1, 200], [20, 7, 64]), start=1):
        batch = [text(n, seed) for n in neighbours]
        for place in range(len(batch) + 1):
            together, _ = embed(encoder, [*batch[:place], mine, *batch[place:]])
            torch.testing.assert_close(together[place : place + 1], alone, rtol=0, atol=tolerance)


@NEW
def test_a_text_of_no_tokens_is_the_zero_vector(checkpoint: Checkpoint, form: str) -> None:
    for neighbours in ([], [text(40)]):
        sentence, tokens = embed(Encoder(checkpoint, form), [[], *neighbours], padding=4)
        assert not sentence[0].any()
        assert not tokens[0].any()
        assert sentence.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
def test_the_chunk_size_is_the_forms_own(checkpoint: Checkpoint, form: str) -> None:
    assert Encoder(checkpoint, form).chunk_size == CHUNK_SIZES[form]
    assert Encoder(checkpoint, form, 16).chunk_size == (None if form == "parallel" else 16)


def test_forms_differ(checkpoint: Checkpoint) -> None:
    vectors = [embed(Encoder(checkpoint, form), [text(70)])[0] for form in FORMS]
    assert (vectors[0] - vectors[1]).abs().max() > 1e-3
    assert (vectors[1] - vectors[2]).abs().max() > 1e-3


def test_decays_of_a_long_text_do_not_underflow_or_drift() -> None:
    """100,000 tokens: the plain product of all decays is 1e-43,000; the last tokens must still be exact."""
    generator = torch.Generator().manual_seed(0)
    log_decay = torch.nn.functional.logsigmoid(torch.randn(2, 100_000, generator=generator, dtype=torch.float64))
    log_decay[1] /= 50_000  # a slow decay: the first token still counts
    exact, found = decay_to_the_end(log_decay), decay_to_the_end(log_decay.float())
    assert (exact[:, -1] == 1).all()
    assert exact[0, 0] == 0
    assert exact[1, 0] > 0.1
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-7)
    by_hand = torch.exp(torch.stack([log_decay[0, t + 1 :].sum() for t in range(99_900, 100_000)]))
    torch.testing.assert_close(exact[0, 99_900:], by_hand, rtol=1e-12, atol=0)


@pytest.mark.heavy
def test_a_parallel_text_of_100_000_tokens(checkpoint: Checkpoint) -> None:
    encoder = Encoder(checkpoint, "parallel")
    single, _ = embed(encoder, [text(100_000)])
    double, _ = embed(encoder.double(), [text(100_000)])
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('{"cross_coupling": 1}', "cross_coupling = 1"),
        ('{"readout_norm": "no"}', "readout_norm = 'no'"),
        ('{"final_norm": "never"}', "final_norm = 'never'"),
        ('{"final_norm": true}', "final_norm = True"),
        ('{"surprise_threshold": "high"}', "surprise_threshold = 'high'"),
    ],
)
def test_options_that_cannot_be_meant(config: str, said: str, tmp_path: Path) -> None:
    from loading import refusal

    folder = tiny.write_checkpoint(tmp_path)
    (folder / "config.json").write_text(config, encoding="utf-8")
    assert said in refusal(folder)


def test_options_come_from_the_config(tmp_path: Path) -> None:
    import json

    folder = tiny.write_checkpoint(tmp_path)
    (folder / "config.json").write_text(json.dumps({"lam_config": OPTIONS}))
    found = load_checkpoint(folder).config
    assert {name: getattr(found, name) for name in OPTIONS} == OPTIONS
