"""The baseline of a gate: a bundle, and its score in an earlier report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import MANIFEST
from lam_engines.embedding.tokenizer import tokenizer_of
from lam_engines.errors import LamError
from lam_engines.runtimes.registry import choose
from lam_export.bench.gate.history import ScoredSubject
from lam_export.evidence.corpus import Corpus
from lam_export.evidence.results import embeddings, results_folder
from lam_export.evidence.sts import cosines, sts
from lam_export.evidence.subjects.engines import engine_subject
from lam_export.evidence.texts import readable
from lam_export.validate.report.build import START
from lam_export.validate.report.schema import Comparison, Report


@dataclass(frozen=True)
class ReportedScore:
    """A bundle, its score in a report, and the pairs that were scored."""

    bundle: Bundle
    subject: ScoredSubject
    gold: tuple[float, ...]
    """The score that people gave to each pair."""
    reference: tuple[float, ...]
    """The reference's cosine of each pair."""
    starts: frozenset[str]
    """The beginnings of the report's texts."""


def read_score(report: Path, bundle: Path | None, *, engine: str, precision: str) -> ReportedScore:
    """Read a score from a report, and open the bundle that it belongs to.

    Args:
        report: ``report.json`` of ``lam-export report --sts``.
        bundle: the bundle that the report was made of; None: the bundle whose folder holds the report.
        engine: the engine whose comparison to take from the report.
        precision: the precision whose comparison to take from the report.

    Raises:
        LamError: there is no report, it lacks the benchmark or that comparison, or it belongs to another bundle.
    """
    try:
        found = Report.model_validate_json(report.read_bytes())
    except OSError as error:
        raise LamError(
            f"expected a report at {report}, found none ({error.strerror}); make one: lam-export report BUNDLE "
            f"--checkpoint CHECKPOINT --sts FILE"
        ) from None
    except ValidationError as error:
        raise LamError(
            f"expected report.json of lam-export report in {report}, found: {error.errors()[0]['msg']}; make it again"
        ) from None
    folder = bundle or next((parent for parent in report.absolute().parents if (parent / MANIFEST).is_file()), None)
    if folder is None:
        raise LamError(
            f"expected {report} in a bundle's folder, found no bundle around it; name its bundle: --baseline-bundle "
            f"BUNDLE"
        )
    opened = Bundle(folder)
    if (digest := opened.manifest_sha256) != found.manifest_sha256:
        raise LamError(
            f"expected the bundle that {report} was made of (manifest {found.manifest_sha256[:12]}...), found "
            f"another or a changed one in {folder} ({digest[:12]}...); make the report again: lam-export report "
            f"{folder} --sts FILE"
        )
    engine = choose(engine, opened, precision).runtime.name
    comparison = _comparison(found, report, engine, precision)
    if comparison.sts is None:
        raise LamError(
            f"expected a score in {report}, found none; make the report again with the benchmark's file: lam-export "
            f"report BUNDLE --sts FILE"
        )
    subject = scored(opened, engine, precision, comparison.sts.spearman.candidate)
    return ReportedScore(
        opened, subject, comparison.series.sts_gold, comparison.series.sts_reference, frozenset(found.starts)
    )


def _comparison(report: Report, path: Path, engine: str, precision: str) -> Comparison:
    def matches(comparison: Comparison) -> bool:
        candidate = comparison.candidate
        return candidate.precision == precision and candidate.runtime.split()[0] == engine

    if found := next(filter(matches, report.comparisons), None):
        return found
    there = ", ".join(f"{c.candidate.precision} in {c.candidate.runtime}" for c in report.comparisons)
    raise LamError(
        f"expected {precision} in {engine} in {path}, found {there}; choose with --baseline-precision, or make the "
        f"report again with --candidate {precision}"
    )


def scored(bundle: Bundle, engine: str, precision: str, score: float) -> ScoredSubject:
    """A bundle and its score, as the history records them."""
    return ScoredSubject(
        bundle=bundle.path.resolve().name,
        manifest_sha256=bundle.manifest_sha256,
        engine=engine,
        precision=precision,  # type: ignore[arg-type]
        score=score,
    )


def score_of(
    bundle: Bundle,
    corpus: Corpus,
    baseline: ReportedScore,
    *,
    engine: str,
    precision: str,
    progress: Callable[[int], None] = lambda done: None,
) -> float:
    """A bundle's Spearman correlation on the pairs that the baseline was scored on.

    Args:
        bundle: an open bundle.
        corpus: the pairs and their texts.
        baseline: the baseline, whose pairs the corpus must hold.
        engine: the engine that runs the bundle.
        precision: the precision to run.
        progress: told how many texts each finished batch had.

    Raises:
        LamError: the corpus has other pairs, or the engine cannot run.
    """
    first, second, gold = (np.array(column) for column in zip(*corpus.pairs, strict=True))
    known = all(readable(text.text, START) in baseline.starts for text in corpus.texts)
    if tuple(gold) != baseline.gold or not known:
        raise LamError(
            f"expected the {len(baseline.gold)} pairs of the baseline's report, found {len(gold)} pairs of other "
            f"texts or scores; name the file that the report was made with: --sts FILE"
        )
    model = bundle.manifest.model
    ids = tokenizer_of(bundle).encode([text.text for text in corpus.texts])
    subject = engine_subject(bundle, engine, precision)
    with subject.load() as loaded:
        vectors, _ = embeddings(
            subject, loaded.embed_ids, ids, model.pad_token_id, cache=results_folder(), progress=progress
        )
    found = sts(baseline.gold, np.array(baseline.reference), cosines(vectors, first, second), resamples=1)
    return found.spearman.candidate
