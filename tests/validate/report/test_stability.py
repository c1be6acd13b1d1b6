"""Invariance and determinism: what must pass, and the naive int8 graph that must not."""

from pathlib import Path

import numpy as np
import pytest

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.tokenizer import Tokenizer
from lam_export.evidence.corpus import builtin_texts
from lam_export.evidence.subjects.function_engine import Embed
from lam_export.validate.report.stability import Moved, sample, stability
from lam_export.validate.report.thresholds import DEFAULTS

TEXTS = [text.text for text in builtin_texts()[::5]]


def honest(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.stack([(ids * mask).sum(axis=1), mask.sum(axis=1)], axis=1).astype(float)


def of(embed: Embed) -> Moved:
    ids = [np.arange(1, n + 1) * (7 + n) % 101 for n in (1, 2, 3, 5, 9, 17, 18, 33, 65, 129, 700)]
    lengths = [len(row) for row in ids]
    return stability(embed, ids, [f"text {n}" for n in lengths], sample(lengths), pad_token_id=0)


def test_what_depends_on_its_own_text_alone_is_stable() -> None:
    figures = of(honest).figures
    assert (figures.batch_cosine, figures.padding_cosine, figures.neighbours_cosine) == pytest.approx((1, 1, 1))
    assert (figures.runs, figures.runs_max_abs) == (3, 0)
    assert figures.texts == 8, "1, 3, 5, 9, 17, 33, 65 and 129"


def test_what_sees_its_padding() -> None:
    figures = of(lambda ids, mask: honest(ids, mask) + np.array([0.0, 0.1 * ids.shape[1]])).figures
    assert figures.padding_cosine < 0.999
    assert figures.neighbours_cosine == pytest.approx(1)


def test_what_sees_its_neighbours_and_the_text_that_it_moves_most() -> None:
    found = of(lambda ids, mask: honest(ids, mask) * [[1.0, 1.0 + ids.max() * len(ids)]])
    assert found.figures.neighbours_cosine < 0.9999
    assert found.figures.batch_cosine < 0.99
    assert set(found.worst) == {"batch_cosine", "padding_cosine", "neighbours_cosine"}
    lowest = min(found.worst, key=lambda name: getattr(found.figures, name))
    assert found.figures.worst_text == f"text {(1, 2, 3, 5, 9, 17, 18, 33, 65, 129, 700)[found.worst[lowest]]}"


def test_what_differs_from_run_to_run() -> None:
    generator = np.random.default_rng(0)
    found = of(lambda ids, mask: honest(ids, mask) + generator.uniform(0, 1e-3, (len(ids), 2)))
    assert 0 < found.figures.runs_max_abs < 1e-3


def test_nan_beside_one_set_of_neighbours_is_no_cosine_of_one() -> None:
    poisoned = of(lambda ids, mask: np.where(len(ids) > 1, np.nan, honest(ids, mask)))
    assert poisoned.figures.batch_cosine == 0


def test_the_sample_is_spread_and_has_at_least_one_text() -> None:
    lengths = [*range(1, 1000), *range(1, 1000)]
    chosen = [lengths[i] for i in sample(lengths)]
    assert len(chosen) == 8
    assert all(n % 2 for n in chosen)
    assert (min(chosen), max(chosen)) == (1, 299)
    assert sample([8, 4, 2000]) == [1]
    assert sample([5]) == [0]


def ids_of(bundle: Bundle) -> list[np.ndarray]:
    return Tokenizer(bundle.read("tokenizer.json"), bundle.manifest.model.vocab_size).encode(TEXTS)


def test_the_exported_graph_passes(tiny_bundle: Path) -> None:
    bundle = Bundle(tiny_bundle)
    ids = ids_of(bundle)
    with load_engine(tiny_bundle) as engine:
        figures = stability(engine.embed_ids, ids, TEXTS, sample([len(row) for row in ids]), 0).figures
    limits = DEFAULTS["fp32"]
    assert figures.batch_cosine >= limits.batch_cosine
    assert figures.padding_cosine >= limits.padding_cosine
    assert figures.neighbours_cosine >= limits.neighbours_cosine
    assert figures.runs_max_abs == 0


def test_a_naive_int8_graph_depends_on_its_neighbours(naive_int8_bundle: Path) -> None:
    # ONNX Runtime's dynamic quantisation has one scale for all activations of a batch.
    bundle = Bundle(naive_int8_bundle)
    ids = ids_of(bundle)
    with load_engine(naive_int8_bundle, precision="int8") as engine:
        found = stability(engine.embed_ids, ids, TEXTS, sample([len(row) for row in ids]), 0)
    assert found.figures.neighbours_cosine < DEFAULTS["int8"].neighbours_cosine
    assert found.figures.runs_max_abs == 0
