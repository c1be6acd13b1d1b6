"""``lam-export report``: compare a bundle with the reference, and judge whether it may go to production."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import REPORTS
from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_engines.runtimes import registry
from lam_export.requirements import require

from .inputs import path_or_none

if TYPE_CHECKING:
    from lam_export.evidence.results import Results
    from lam_export.evidence.subject import Subject
    from lam_export.validate.report.schema import Report

FOLDER = Path(REPORTS, "accuracy")
"""The report's folder inside its bundle."""


@dataclass(frozen=True)
class WrittenReport:
    """A report, and the folder that it was written to."""

    report: "Report"
    folder: Path


def report(
    bundle: Path | str,
    *,
    checkpoint: Path | str | None = None,
    teacher: Path | str | None = None,
    reference: str = "float64",
    against: Path | str | None = None,
    reference_results: Path | str | None = None,
    candidates: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    device: str | None = None,
    texts: Path | str | None = None,
    column: str | None = None,
    sts: Path | str | None = None,
    tasks: Path | str | None = None,
    output: Path | str | None = None,
    thresholds: Path | str | None = None,
    cosine: float | None = None,
    sts_difference: float | None = None,
    ndcg_difference: float | None = None,
    recall_at_10: float | None = None,
    progress: Progress = Progress(),
    warn: Callable[[str], None] = warnings.warn,
) -> WrittenReport:
    """Compare a bundle with a reference on many texts, judge it, and write report.html, report.md and report.json.

    Embeddings are cached, so a second run, or one after an interruption, continues where the first ended.

    Args:
        bundle: the bundle's folder.
        checkpoint: the checkpoint that the bundle was made from, as the reference. Name exactly one reference:
            ``checkpoint``, ``against`` or ``reference_results``. With ``reference_results`` a checkpoint may be named
            too; it is then used only to compare layer by layer.
        teacher: the checkpoint's teacher (a BERT); needed only if the checkpoint lacks weights or the tokenizer.
        reference: PyTorch's precision for the reference, ``float64`` or ``float32``.
        against: another bundle; its fp32 graph is the reference.
        reference_results: a file of an earlier report's ``results`` folder.
        candidates: precisions to judge; if left out, all that the bundle has.
        engines: runtimes of the candidates; if left out, the default runtime.
        device: ``cpu`` or ``cuda``, for the candidates; if left out, each runtime's default.
        texts: a file of texts to embed in addition to the built-in ones.
        column: the column of ``texts`` to read, if it is a table.
        sts: a CSV file with the columns ``sentence1``, ``sentence2`` and ``score``, for the benchmark.
        tasks: a folder of mteb's tasks of retrieval or similarity; see :func:`read_tasks`.
        output: the report's folder; if left out, ``reports/accuracy`` in the bundle.
        thresholds: a TOML file with thresholds.
        cosine, sts_difference, ndcg_difference, recall_at_10: single thresholds, for all precisions.
        progress: told of each step.
        warn: called with every reason to doubt the verdict.

    Raises:
        LamError: a package is missing, a file or an option is wrong, or nothing can be compared.

    Example:
        ```python
        written = report("my-model", checkpoint="my-checkpoint")
        print(written.report.passed, written.folder / "report.html")
        ```
    """
    require("torch", "safetensors", "onnx", "polygraphy", "scipy", "jinja2", extra="report")
    require("onnxruntime", extra="cpu")
    from lam_export.evidence.corpus import read_corpus
    from lam_export.evidence.record import check_folder
    from lam_export.evidence.results import load_results, results_folder
    from lam_export.evidence.same_model import encoder_of
    from lam_export.evidence.subjects.engines import engine_subject, other_bundle
    from lam_export.evidence.subjects.pytorch import CheckpointFiles, pytorch_subject
    from lam_export.validate.report.build import build_report
    from lam_export.validate.report.folder import write_report
    from lam_export.validate.report.thresholds import read_limits

    if (against is None) == (checkpoint is None and reference_results is None):
        raise LamError("expected one reference: --checkpoint CHECKPOINT, --against BUNDLE or --reference-results FILE")
    options = {
        "cosine": cosine,
        "sts_difference": sts_difference,
        "ndcg_difference": ndcg_difference,
        "recall_at_10": recall_at_10,
    }
    limits = read_limits(path_or_none(thresholds), options)
    opened = Bundle(bundle)
    folder = path_or_none(output) or opened.path / FOLDER
    check_folder(folder)
    chosen = _candidates(opened, engines or [registry.REFERENCE], candidates)
    corpus = read_corpus(path_or_none(texts), path_or_none(sts), tasks=path_or_none(tasks), column=column)
    progress.begin("reading the reference", None)
    files = None if checkpoint is None else CheckpointFiles(Path(checkpoint), path_or_none(teacher))
    loaded = None if files is None else files.load()
    encoder = None if loaded is None else encoder_of(opened, loaded)
    made_from = opened.manifest.checkpoint.sha256
    if loaded is not None and loaded.sha256 != made_from:
        warn(
            f"expected the checkpoint that the bundle was made from (sha256 {made_from[:12]}...), found "
            f"{loaded.weights} ({loaded.sha256[:12]}...); if checks fail, name the right one: --checkpoint"
        )
    if reference_results is not None:
        held: Subject | Results = load_results(Path(reference_results), corpus.sha256)
    elif against is not None:
        held = other_bundle(opened, Path(against))
    elif files is not None:
        held = pytorch_subject(opened, files, dtype=reference)
    lost: list[str] = []

    def unkept(sentence: str) -> None:
        if not lost:
            warn(sentence)
        lost.append(sentence)

    found, results = build_report(
        opened,
        corpus,
        reference=held,
        candidates=[engine_subject(opened, engine, precision, device=device) for engine, precision in chosen],
        limits=limits,
        encoder=encoder,
        checkpoint_sha256=made_from if loaded is None else loaded.sha256,
        cache=results_folder(),
        progress=progress,
        warn=unkept,
    )
    try:
        write_report(folder, found, results)
    except LamError as error:
        kept = "" if lost else f"; all embeddings are kept in {results_folder()}, so that it is quick"
        raise LamError(f"{error}; then run the same again{kept}") from None
    return WrittenReport(found, folder)


def _precisions(bundle: Bundle, engine: str) -> tuple[str, ...]:
    """What an engine runs of a bundle here. If that is nothing, what it could run: loading that says why it cannot."""
    runtime = registry.choose(engine, bundle).runtime
    return runtime.runs(bundle) or runtime.precisions_of(bundle)


def _candidates(bundle: Bundle, engines: Sequence[str], precisions: Sequence[str] | None) -> list[tuple[str, str]]:
    chosen = [
        (registry.choose(engine, bundle, precision).runtime.name, precision)
        for engine in dict.fromkeys(engines)
        for precision in dict.fromkeys(precisions or _precisions(bundle, engine))
    ]
    if not chosen:
        raise LamError(
            f"expected a file in the bundle {bundle.path} that {', '.join(engines)} can run, found only "
            f"{', '.join(bundle.manifest.files)}; see: lam-export doctor {bundle.path}"
        )
    return chosen
