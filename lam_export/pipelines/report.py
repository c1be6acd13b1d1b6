"""What ``lam-export report`` does: proof that a bundle gives the reference's embeddings, and the gate to production."""

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

if TYPE_CHECKING:
    from lam_export.evidence.results import Results
    from lam_export.evidence.subject import Subject
    from lam_export.validate.report.schema import Report

FOLDER = Path(REPORTS, "accuracy")
"""Where a report lies in its bundle."""


@dataclass(frozen=True)
class WrittenReport:
    """A report, and where it was written."""

    report: "Report"
    folder: Path


def report(
    bundle: Path | str,
    *,
    checkpoint: Path | None = None,
    teacher: Path | None = None,
    reference: str = "float64",
    against: Path | None = None,
    reference_results: Path | None = None,
    candidates: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    device: str | None = None,
    texts: Path | None = None,
    column: str | None = None,
    sts: Path | None = None,
    output: Path | None = None,
    thresholds: Path | None = None,
    cosine: float | None = None,
    sts_difference: float | None = None,
    recall_at_10: float | None = None,
    progress: Progress = Progress(),
    warn: Callable[[str], None] = warnings.warn,
) -> WrittenReport:
    """Compare a bundle with a reference on many texts, judge it, and write report.html, report.md and report.json.

    Embeddings are cached: a second run, and one that was interrupted, goes on where the first ended.

    Args:
        bundle: the bundle's folder.
        checkpoint: what the bundle was made from: the reference. Exactly one of ``checkpoint``, ``against`` and
            ``reference_results`` is the reference; with ``reference_results`` the checkpoint is used for the
            comparison layer by layer.
        teacher: the checkpoint's teacher, if it needs one.
        reference: PyTorch in ``float64`` or ``float32``.
        against: another bundle, whose fp32 graph is the reference.
        reference_results: a file of an earlier report's ``results`` folder.
        candidates: precisions; all that the bundle has if left out.
        engines: runtimes of the candidates; the default runtime if left out.
        device: ``cpu`` or ``cuda``, for the candidates; each runtime's default if left out.
        texts: a file of texts beside the built-in ones.
        column: of ``texts``, if it is a table.
        sts: a CSV file of ``sentence1, sentence2, score``, for the benchmark.
        output: the report's folder; ``reports/accuracy`` of the bundle if left out.
        thresholds: a TOML file of the gate's thresholds.
        cosine, sts_difference, recall_at_10: single thresholds, for all precisions.
        progress: told of each step.
        warn: told what makes the verdict doubtful.

    Raises:
        LamError: a package is missing, a file or an option is not as it must be, or nothing can be compared.

    Example::

        written = report("my-model", checkpoint=Path("my-checkpoint"))
        print(written.report.passed, written.folder / "report.html")
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
    limits = read_limits(thresholds, {"cosine": cosine, "sts_difference": sts_difference, "recall_at_10": recall_at_10})
    opened = Bundle(bundle)
    folder = output or opened.path / FOLDER
    check_folder(folder)
    chosen = _candidates(opened, engines or [registry.DEFAULT], candidates)
    corpus = read_corpus(texts, sts, column=column)
    progress.begin("reading the reference", None)
    files = None if checkpoint is None else CheckpointFiles(checkpoint, teacher)
    loaded = None if files is None else files.load()
    encoder = None if loaded is None else encoder_of(opened, loaded)
    made_from = opened.manifest.checkpoint.sha256
    if loaded is not None and loaded.sha256 != made_from:
        warn(
            f"the bundle was made from another file than {loaded.weights} (expected sha256 {made_from[:12]}..., found "
            f"{loaded.sha256[:12]}...); if checks fail, name that one: --checkpoint"
        )
    if reference_results is not None:
        held: Subject | Results = load_results(reference_results, corpus.sha256)
    elif against is not None:
        held = other_bundle(opened, against)
    elif files is not None:
        held = pytorch_subject(opened, files, dtype=reference)
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
    )
    write_report(folder, found, results)
    return WrittenReport(found, folder)


def _candidates(bundle: Bundle, engines: Sequence[str], precisions: Sequence[str] | None) -> list[tuple[str, str]]:
    chosen = [
        (engine, precision)
        for engine in dict.fromkeys(engines)
        for precision in dict.fromkeys(precisions or registry.runtime(engine).precisions_of(bundle))
    ]
    if not chosen:
        raise LamError(
            f"expected something in the bundle {bundle.path} that {', '.join(engines)} can run, its manifest lists "
            f"{', '.join(bundle.manifest.files)}; see: lam-export doctor {bundle.path}"
        )
    return chosen
