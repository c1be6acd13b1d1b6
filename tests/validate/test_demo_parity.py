"""The really trained model: what its bundle was measured at when it was exported."""

from pathlib import Path

import pytest
import torch

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.tokenizer import Tokenizer
from lam_export.evidence.cases import parity_cases
from lam_export.model.checkpoint import load_checkpoint
from lam_export.model.encoder import Encoder

pytestmark = pytest.mark.demo


def test_parity_of_both_precisions(demo_bundle: Path) -> None:
    manifest = Bundle(demo_bundle).manifest
    assert manifest.parity["model.onnx"]["max_abs"] <= 2e-5
    assert manifest.parity["model.onnx"]["cosine"] >= 0.999999
    assert manifest.parity["model.fp16.onnx"]["cosine"] >= 0.9995
    assert manifest.files["model.fp16.onnx"].bytes < 0.51 * manifest.files["model.onnx"].bytes


def test_neighbours_mean_something(demo_bundle: Path) -> None:
    with load_engine(demo_bundle) as engine:
        tomato, kitchen, bank, credit = engine.embed(
            [
                "A woman is slicing a tomato.",
                "Somebody cuts vegetables in a kitchen.",
                "The central bank raised interest rates.",
                "Borrowing became more expensive this week.",
            ]
        )
    assert min(tomato @ kitchen, bank @ credit) > 2 * max(tomato @ bank, tomato @ credit, kitchen @ bank)


def test_the_reference_alone_and_in_a_padded_batch(demo_bundle: Path) -> None:
    bundle = Bundle(demo_bundle)
    tokenizer = Tokenizer(bundle.read("tokenizer.json"), bundle.manifest.model.vocab_size)
    encoder = Encoder(load_checkpoint(demo_bundle.parent / "lam"))
    *_, mixed = parity_cases(tokenizer, bundle.manifest.model.pad_token_id, lengths=(1,))
    ids, mask = torch.from_numpy(mixed.input_ids), torch.from_numpy(mixed.attention_mask)
    with torch.inference_mode():
        together = encoder(ids, mask)[0]
        for i, length in enumerate(mask.sum(1).tolist()):
            alone = encoder(ids[i : i + 1, :length], mask[i : i + 1, :length])[0][0]
            assert (alone - together[i]).abs().max() <= 1e-5
