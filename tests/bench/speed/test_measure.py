"""Subjects at work: right ones are timed, wrong and dead ones are not."""

import math
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import TOKENIZER
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.embedding.tokenizer import Tokenizer
from lam_engines.errors import LamError
from lam_engines.runtimes.onnxruntime.engine import OnnxRuntimeEngine
from lam_export.bench.speed import shapes as work
from lam_export.bench.speed.measure import FEWEST, measure
from lam_export.evidence.metrics import THRESHOLDS
from lam_export.evidence.subject import Subject
from lam_export.evidence.subjects.engines import chosen_engines, engine_subject, engines_here, other_bundle
from lam_export.evidence.transformer import Transformer


class Rolled(OnnxRuntimeEngine):
    """Every embedding belongs to another place."""

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        return np.roll(super()._infer(input_ids, attention_mask), 1, axis=1)


class Killed(OnnxRuntimeEngine):
    """As the system does when memory runs short."""

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Long(OnnxRuntimeEngine):
    """Not of unit length."""

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        return 2 * super()._infer(input_ids, attention_mask)


def load(kind: type[OnnxRuntimeEngine], path: Path) -> EmbeddingEngine:
    return kind(Bundle(path))


def missing() -> EmbeddingEngine:
    raise LamError("not here")


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle(tiny_bundle)


@pytest.fixture(scope="module")
def shapes(bundle: Bundle) -> tuple[work.Shape, ...]:
    tokenizer = Tokenizer(bundle.read(TOKENIZER), bundle.manifest.model.vocab_size)
    return work.shapes(tokenizer, (40, 5), ((3, 7),), 5)


@pytest.fixture(scope="module")
def right(bundle: Bundle) -> Subject:
    return engine_subject(bundle, "onnxruntime", "fp32", threads=1)


def instead(subject: Subject, name: str, kind: type[OnnxRuntimeEngine], bundle: Bundle) -> Subject:
    info = subject.info.model_copy(update={"name": name})
    return replace(subject, info=info, load=partial(load, kind, bundle.path))


def test_shapes_are_what_their_names_say(shapes: tuple[work.Shape, ...], bundle: Bundle) -> None:
    assert [shape.info.name for shape in shapes[:3]] == ["1 x 5", "1 x 40", "3 x 7"]
    assert [shape.work.shape for shape in shapes[:3]] == [(1, 5), (1, 40), (3, 7)]  # type: ignore[union-attr]
    mix = shapes[3].info
    assert mix.texts == len(shapes[3].work) == 5
    assert mix.longest < mix.tokens < 5 * mix.longest
    again = work.shapes(Tokenizer(bundle.read(TOKENIZER), bundle.manifest.model.vocab_size), (5,), (), 5)
    assert again[-1] == shapes[3], "always the same texts"


@pytest.mark.parametrize("given", ["", "x", "128,", "0", "128;512", "-1"])
def test_lengths_that_are_none(given: str) -> None:
    with pytest.raises(LamError, match="expected numbers of tokens like --lengths 128,4096, found"):
        work.parse_lengths(given)


@pytest.mark.heavy
def test_all_that_is_right_is_timed_in_turn(shapes: tuple[work.Shape, ...], bundle: Bundle) -> None:
    subjects = [engine_subject(bundle, *names, threads=1) for names in engines_here(bundle)]
    first = subjects[0].info.name
    for shape in (shapes[1], shapes[3]):
        results = measure(shape, subjects, subjects[0], baselines=[first], seconds=0)
        assert [result.subject for result in results] == [subject.info.name for subject in subjects]
        for subject, result in zip(subjects, results, strict=True):
            assert (result.status, result.note, result.shape) == ("measured", "", shape.info.name)
            limits = THRESHOLDS[subject.info.precision]
            assert result.max_abs is not None
            assert result.max_abs <= limits.max_abs
            assert result.cosine is not None
            assert result.cosine >= limits.cosine
            assert result.times is not None
            assert len(result.times.seconds) == FEWEST
            low, high = result.times.quartiles
            assert 0 < low <= result.times.median <= high
            assert result.times.tokens_per_second == pytest.approx(shape.info.tokens / result.times.median)
            assert set(result.times.times_as_fast) == ({first} - {result.subject})
            if result.memory is not None:
                assert result.memory.loaded > 0
                assert result.memory.peak > 0


@pytest.mark.parametrize(
    ("kind", "status", "note"),
    [
        (Rolled, "mismatch", "embeddings differ: max-abs"),
        (Long, "mismatch", "not of unit length|embeddings differ"),
        (Killed, "not run", r"ended from outside \(exit code -9\), most likely because memory ran short"),
    ],
)
def test_no_times_for_what_is_wrong_or_dead(
    kind: type[OnnxRuntimeEngine], status: str, note: str, bundle: Bundle, right: Subject, shapes: tuple[work.Shape]
) -> None:
    results = measure(shapes[0], [instead(right, "odd", kind, bundle), right], right, baselines=["odd"], seconds=0)
    odd, good = results
    assert odd.status == status
    assert odd.times is None
    with pytest.raises(AssertionError, match=note):
        raise AssertionError(odd.note)
    assert good.status == "measured"
    assert good.times is not None
    assert good.times.times_as_fast == {}, "there is nothing to hold it against"


def test_nothing_is_timed_without_a_reference(bundle: Bundle, right: Subject, shapes: tuple[work.Shape]) -> None:
    dead = instead(right, "the reference", Killed, bundle)
    (result,) = measure(shapes[0], [right], dead, seconds=0)
    assert (result.status, result.times) == ("not run", None)
    assert "the reference cannot do this" in result.note


def test_what_cannot_be_loaded_ends_it(right: Subject, shapes: tuple[work.Shape]) -> None:
    with pytest.raises(LamError, match=r"^not here$"):
        measure(shapes[0], [replace(right, load=missing)], right)


def test_another_model_is_only_looked_at(bundle: Bundle, right: Subject, shapes: tuple[work.Shape]) -> None:
    another = replace(instead(right, "another", Rolled, bundle), thresholds=None)
    (result,) = measure(shapes[0], [another], right, seconds=0)
    assert (result.status, result.max_abs) == ("measured", None)


def test_a_transformer_is_spared_what_it_cannot_do(right: Subject, shapes: tuple[work.Shape]) -> None:
    small = Transformer(Path(), "bert", positions=16, heads=2, vocab_size=128)
    whole, cut = replace(right, transformer=small), replace(right, transformer=small, truncates=True)
    short, long = shapes[0].info, shapes[1].info
    assert cut.refusal(short) == whole.refusal(short) == whole.remark(short) == ""
    assert cut.refusal(long) == "cuts texts off at 16 tokens"
    assert whole.refusal(long) == ""
    assert whole.remark(long).startswith("cost only: the embedding is meaningless past the transformer's 16 positions")
    endless = long.model_copy(update={"longest": 10_000_000})
    assert "attention would take" in whole.refusal(endless)
    assert small.attention_bytes(3, 100) == 2 * 4 * 3 * 2 * 100 * 100


def test_engines_are_chosen_by_name(bundle: Bundle) -> None:
    everything = engines_here(bundle)
    assert everything[0] == ("onnxruntime", "fp32")
    assert chosen_engines(bundle, None, None) == everything
    assert chosen_engines(bundle, ["onnxruntime"], ["fp32"]) == [("onnxruntime", "fp32")]
    with pytest.raises(LamError, match=r"expected engine auto, .* found 'tensorflow'"):
        chosen_engines(bundle, ["tensorflow"], None)
    for options in ((None, ["int8"]), (["tensorrt"], None)):
        with pytest.raises(LamError, match=r"expected something for --(engine|precision) \w+, found fp32 in onnx"):
            chosen_engines(bundle, *options)


def test_the_same_model_in_another_bundle_is_compared(bundle: Bundle) -> None:
    other = other_bundle(bundle, bundle.path, threads=1)
    assert other.info.name == f"{bundle.path.name}: ONNX Runtime fp32"
    assert other.info.model == "this"
    assert other.thresholds is not None
    assert other.thresholds.max_abs < math.inf
