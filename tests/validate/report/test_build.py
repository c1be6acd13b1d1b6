"""Whole reports on the tiny model, in real ONNX Runtime: what passes, what must not, and what stands for a subject."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny
from onnx import numpy_helper

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import Manifest
from lam_engines.bundles.writing import extend_bundle
from lam_engines.contract import MODEL
from lam_engines.errors import LamError
from lam_export.evidence.corpus import Corpus, read_corpus
from lam_export.evidence.record import check_folder, to_json
from lam_export.evidence.results import Results, load_results
from lam_export.evidence.same_model import encoder_of
from lam_export.evidence.subjects.engines import engine_subject, other_bundle
from lam_export.evidence.subjects.pytorch import CheckpointFiles, pytorch_subject
from lam_export.model.checkpoint import Checkpoint, load_checkpoint
from lam_export.validate.report.build import build_report
from lam_export.validate.report.folder import json_schema, write_report
from lam_export.validate.report.schema import Report
from lam_export.validate.report.thresholds import DEFAULTS

WORDS = ("man", "woman", "dog", "cat", "child", "plays", "eats", "reads", "red", "big", "house", "tree", "car", "water")
Built = tuple[Report, tuple[Results, ...]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """60 texts of 1 to 60 words, and 40 pairs with scores."""
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("texts")
    texts = [" ".join(generator.choice(WORDS, size=n)) for n in range(1, 61)]
    pairs = [
        f"the {a} {b} here,a {c} {b},{score:.1f}"
        for a, b, c, score in zip(*generator.choice(WORDS, size=(3, 40)), generator.uniform(0, 5, 40), strict=True)
    ]
    (folder / "texts.txt").write_text("\n".join(texts))
    (folder / "sts.csv").write_text("\n".join(pairs))
    return read_corpus(folder / "texts.txt", folder / "sts.csv", builtin=False)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint_folder: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint_folder)


def build(folder: Path, corpus: Corpus, checkpoint: Checkpoint, *precisions: str, parts: bool = False) -> Built:
    bundle = Bundle(folder)
    return build_report(
        bundle,
        corpus,
        reference=pytorch_subject(bundle, CheckpointFiles(checkpoint.weights.parent), dtype="float64"),
        candidates=[engine_subject(bundle, precision=precision) for precision in precisions],
        limits=DEFAULTS,
        encoder=encoder_of(bundle, checkpoint) if parts else None,
        checkpoint_sha256=checkpoint.sha256,
    )


@pytest.fixture(scope="module")
def built(naive_int8_bundle: Path, corpus: Corpus, checkpoint: Checkpoint) -> Built:
    return build(naive_int8_bundle, corpus, checkpoint, "fp32", "int8", parts=True)


def failed(report: Report, comparison: int = 0) -> dict[str, str]:
    return {check.name: check.detail for check in report.comparisons[comparison].checks if not check.passed}


def test_the_exported_graph_passes(built: Built, corpus: Corpus) -> None:
    report, results = built
    fp32 = report.comparisons[0]
    assert fp32.passed, failed(report)
    assert fp32.cosine > 1 - 1e-9
    assert (fp32.neighbours.recall_at_1, fp32.neighbours.recall_at_10) == (1, 1)
    assert fp32.neighbours.corpus == fp32.texts == report.texts == len(corpus.texts)
    assert len(fp32.worst) == 20
    assert fp32.worst[0].cosine == fp32.cosine == min(fp32.series.cosine)
    assert sum(bucket.texts for bucket in fp32.buckets if bucket.by == "length") == fp32.texts
    assert report.starts == tuple(text.text[:60] for text in corpus.texts)
    names = ["PyTorch float64", "ONNX Runtime fp32", "ONNX Runtime int8"]
    assert [result.subject.name for result in results] == names
    assert results[0].vectors.dtype == np.float64
    assert fp32.parts
    assert fp32.suspect is None


def test_a_naive_int8_graph_does_not(built: Built) -> None:
    report, _ = built
    assert not report.passed
    assert not report.comparisons[1].passed
    sentence = failed(report, 1)["neighbours_cosine"]
    assert sentence.startswith("cosine with itself beside other texts 0.99")
    assert " is below 0.9999 by " in sentence
    assert sentence.endswith("tokens, Latin)")


def test_the_benchmark_is_scipys(built: Built, corpus: Corpus) -> None:
    from scipy.stats import spearmanr

    report, results = built
    first, second, gold = (list(column) for column in zip(*corpus.pairs, strict=True))
    scores = []
    for result in (results[0], results[2]):
        unit = result.vectors / np.linalg.norm(result.vectors, axis=1, keepdims=True)
        scores.append(spearmanr((unit[first] * unit[second]).sum(axis=1), gold).statistic)
    found = report.comparisons[1].sts
    assert found is not None
    assert (found.spearman.reference, found.spearman.candidate) == pytest.approx(scores)
    assert found.pairs == len(report.comparisons[1].series.sts_gold) == 40


def changed(bundle: Path, to: Path, change: Callable[[np.ndarray], None]) -> Path:
    """A copy of a bundle with ``model.int8.onnx``: its fp32 graph with other word embeddings."""
    import shutil

    model = onnx.load(bundle / MODEL)
    (table,) = [t for t in model.graph.initializer if tuple(t.dims) == (tiny.VOCAB, tiny.HIDDEN)]
    array = numpy_helper.to_array(table).copy()
    change(array)
    table.CopyFrom(numpy_helper.from_array(array, table.name))

    def listed(manifest: Manifest) -> Manifest:
        graph = manifest.graphs[MODEL].model_copy(update={"precision": "int8"})
        return manifest.model_copy(update={"graphs": {**manifest.graphs, "model.int8.onnx": graph}})

    content = {"model.int8.onnx": model.SerializeToString()}
    return extend_bundle(shutil.copytree(bundle, to), content, listed).path


def token(bundle: Path, word: str) -> int:
    return int(json.loads((bundle / "tokenizer.json").read_text())["model"]["vocab"][word])


def test_a_wrong_word_is_found_and_its_text_named(
    tiny_bundle: Path, corpus: Corpus, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    def swap(array: np.ndarray) -> None:
        array[token(tiny_bundle, "cat")] = -array[token(tiny_bundle, "cat")]

    report, _ = build(changed(tiny_bundle, tmp_path / "b", swap), corpus, checkpoint, "int8")
    (comparison,) = report.comparisons
    texts = [text.text for text in corpus.texts]
    off = [cosine < 0.9999999 for cosine in comparison.series.cosine]
    assert off == ["cat" in text.split() for text in texts]
    assert "cat" in comparison.worst[0].text
    assert comparison.worst[0].text[:20] in failed(report)["cosine"]


def test_nan_fails_the_gate_and_leaves_every_figure_a_number(
    tiny_bundle: Path, corpus: Corpus, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    def poison(array: np.ndarray) -> None:
        array[token(tiny_bundle, "dog")] = np.nan

    report, _ = build(changed(tiny_bundle, tmp_path / "b", poison), corpus, checkpoint, "int8")
    (comparison,) = report.comparisons
    dogs = sum("dog" in text.text.split() for text in corpus.texts)
    assert comparison.nan == dogs * tiny.HIDDEN > 0
    assert f"NaN and infinite elements: {comparison.nan} is above 0" in failed(report)["not_finite"]
    assert "dog" in failed(report)["not_finite"]
    assert comparison.cosine == 0
    assert "NaN" not in to_json(report).replace("NaN and infinite", "")
    assert Report.model_validate_json(to_json(report)) == report


def test_saved_results_stand_for_the_reference(
    built: Built, naive_int8_bundle: Path, corpus: Corpus, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    report, results = built
    write_report(tmp_path / "deep" / "report", report, results)
    held = load_results(tmp_path / "deep" / "report" / "results" / "reference.json", corpus.sha256)
    again, _ = build_report(
        Bundle(naive_int8_bundle),
        corpus,
        reference=held,
        candidates=[engine_subject(Bundle(naive_int8_bundle))],
        limits=DEFAULTS,
        checkpoint_sha256=checkpoint.sha256,
    )
    same = {"seconds": 0.0, "parts": (), "checks": ()}
    assert again.comparisons[0].model_copy(update=same) == report.comparisons[0].model_copy(update=same)
    without = [check for check in report.comparisons[0].checks if check.name != "suspect_parts"]
    assert list(again.comparisons[0].checks) == without, "no checkpoint, no parts"
    names = {path.name for path in (tmp_path / "deep" / "report").rglob("*") if path.is_file()}
    files = {"report.html", "report.md", "report.json", "reference.json"}
    assert names == files | {"onnx-runtime-fp32.json", "onnx-runtime-int8.json"}
    assert Report.model_validate_json((tmp_path / "deep" / "report" / "report.json").read_bytes()) == report


def test_a_bundle_against_another(tiny_bundle: Path, naive_int8_bundle: Path, corpus: Corpus) -> None:
    bundle = Bundle(naive_int8_bundle)
    report, _ = build_report(
        bundle,
        corpus,
        reference=other_bundle(bundle, tiny_bundle),
        candidates=[engine_subject(bundle, precision=precision) for precision in ("fp32", "int8")],
        limits=DEFAULTS,
        checkpoint_sha256=bundle.manifest.checkpoint.sha256,
    )
    fp32, int8 = report.comparisons
    assert (fp32.relative_rms, fp32.max_abs, fp32.parts) == (0, 0, ())
    assert fp32.reference.name == f"{tiny_bundle.name}: ONNX Runtime fp32"
    assert int8.cosine < 0.9999


def test_what_cannot_be_compared(
    built: Built, tiny_bundle: Path, corpus: Corpus, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    import bundles

    bundle = Bundle(tiny_bundle)
    with pytest.raises(LamError, match="expected the tokenizer of"):
        other_bundle(bundle, bundles.write(tmp_path / "other"))
    with pytest.raises(LamError, match=r"expected model\.fp16\.onnx in the bundle"):
        build(tiny_bundle, corpus, checkpoint, "fp16")

    def held_against(results: Results) -> None:
        build_report(
            bundle,
            corpus,
            reference=results,
            candidates=[engine_subject(bundle)],
            limits=DEFAULTS,
            checkpoint_sha256="0" * 64,
        )

    reference = built[1][0]
    with pytest.raises(LamError, match="of another model than the bundle"):
        held_against(replace(reference, vectors=reference.vectors[:, :5]))
    vectors = reference.vectors.copy()
    vectors[3, 1] = np.inf
    with pytest.raises(LamError, match="NaN or infinity for 1 texts, the first '"):
        held_against(replace(reference, vectors=vectors))


def test_texts_that_no_file_can_hold(tiny_bundle: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text('{"text": "a lone \\ud83d surrogate"}\n{"text": ""}\n{"text": "two\\nlines \\u0000"}\n')
    corpus = read_corpus(source, builtin=False)
    report, results = build(tiny_bundle, corpus, checkpoint, "fp32")
    write_report(tmp_path / "report", report, results)
    assert report.passed
    assert report.starts[0] == "a lone � surrogate"
    assert report.comparisons[0].sts is None


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LamError, match="expected a folder at"):
        check_folder(tmp_path / "file" / "report")
    check_folder(tmp_path / "not" / "yet" / "there")
    assert not (tmp_path / "not").exists()


def test_the_published_schema_is_up_to_date() -> None:
    path = Path(__file__).parents[3] / "docs" / "report.schema.json"
    command = "from lam_export.validate.report.folder import json_schema; print(json_schema(), end='')"
    assert path.read_text(encoding="utf-8") == json_schema(), f'run: python -c "{command}" > docs/report.schema.json'
