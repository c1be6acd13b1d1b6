"""The search for parts that cannot bear half precision."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from lam_engines.progress import Progress
from lam_export.evidence.cases import Case
from lam_export.evidence.metrics import Thresholds
from lam_export.export.graphs import ExportError
from lam_export.export.mixed_precision import half_parts, half_precision
from lam_export.model.encoder import Encoder
from lam_export.validate.bisect import in_onnxruntime, precision_search


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    random = np.random.default_rng(0)
    return [Case(str(n), random.integers(5, 100, (2, n)), np.ones((2, n), dtype=np.int64)) for n in (1, 40)]


def with_overflow(encoder: Encoder) -> Encoder:
    """The same embeddings, but layer 1's values between its two FFN products pass what half precision holds."""
    encoder = copy.deepcopy(encoder)
    layer: Any = encoder.layers[1]
    layer.activation_passes = 1
    with torch.no_grad():
        # So far from zero GELU is the identity.
        layer.ffn_in.bias += 1e5
        layer.ffn_out.bias -= layer.ffn_out.weight.sum(1) * 1e5
    return encoder


def test_nothing_to_keep_where_all_is_well(tiny_encoder: Encoder, cases: list[Case]) -> None:
    found = precision_search(tiny_encoder, cases, Thresholds(max_abs=2e-3, cosine=0.9995))
    assert found.all_half
    assert found.keep == found.alone == ()


def test_the_parts_that_overflow_are_found(tiny_encoder: Encoder, cases: list[Case]) -> None:
    steps: list[str] = []
    encoder = with_overflow(tiny_encoder)
    before = copy.deepcopy(encoder.state_dict())
    found = precision_search(
        encoder,
        cases,
        Thresholds(max_abs=2e-2, cosine=0.999),
        progress=Progress(begin=lambda step, pieces: steps.append(step)),
    )
    assert not found.all_half
    assert found.keep == ("layers.1.ffn_in", "layers.1.ffn_out")
    assert {part for part, _ in found.alone[:2]} == set(found.keep)
    assert found.proposed
    assert "layers.0.o_proj alone in float16 (4 of 11)" in steps
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_the_set_passes_and_no_part_of_it_can_be_spared(tiny_encoder: Encoder, cases: list[Case]) -> None:
    everything = precision_search(tiny_encoder, cases, Thresholds(max_abs=1.0, cosine=0.0)).all_half
    thresholds = Thresholds(max_abs=everything.max_abs / 2, cosine=0.0)
    found = precision_search(tiny_encoder, cases, thresholds)
    assert found.keep
    assert set(found.keep) < set(half_parts(tiny_encoder))
    assert found.proposed.max_abs <= thresholds.max_abs
    harm = [diff.max_abs for _, diff in found.alone]
    assert harm == sorted(harm, reverse=True)


def test_what_float32_does_not_hold_either(tiny_encoder: Encoder, cases: list[Case]) -> None:
    found = precision_search(tiny_encoder, cases, Thresholds(max_abs=1e-12, cosine=1.0))
    assert found.keep is None
    assert found.alone == ()
    assert not found.proposed


def test_parts_that_are_kept_are_float32(tiny_encoder: Encoder) -> None:
    for part in half_parts(tiny_encoder):
        module = half_precision(tiny_encoder, {part})
        owner = module.get_submodule(part) if part != "embeddings.word" else module.embeddings
        kept = owner.word if part == "embeddings.word" else next(owner.parameters(recurse=False))
        assert kept.dtype == torch.float32
        halves = sum(p.dtype == torch.float16 for p in module.parameters())
        assert halves < sum(p.dtype == torch.float16 for p in half_precision(tiny_encoder).parameters())
    with pytest.raises(ExportError, match=r"expected parts like layers\.0\.form.*, found layers\.9\.form"):
        half_precision(tiny_encoder, {"layers.9.form"})


@pytest.mark.heavy
def test_the_proposal_is_confirmed_in_onnxruntime(tiny_encoder: Encoder, cases: list[Case]) -> None:
    encoder = with_overflow(tiny_encoder)
    thresholds = Thresholds(max_abs=2e-2, cosine=0.999)
    assert in_onnxruntime(encoder, ("layers.1.ffn_in", "layers.1.ffn_out"), cases, thresholds)
    assert not in_onnxruntime(encoder, (), cases, thresholds)
