"""What ``lam-export gate`` does: hold a change against a baseline."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_engines.runtimes import registry
from lam_export.requirements import require

if TYPE_CHECKING:
    from lam_export.bench.gate.history import Trial


def gate(
    bundle: Path | str,
    *,
    baseline: Path,
    sts: Path,
    change: str,
    precision: str = "fp32",
    engine: str = registry.DEFAULT,
    baseline_precision: str = "fp32",
    baseline_engine: str = registry.DEFAULT,
    baseline_bundle: Path | None = None,
    repeats: int = 15,
    threads: int | None = None,
    progress: Progress = Progress(),
) -> "Trial":
    """Score and time a change beside its baseline, and add the trial to the history of both bundles.

    A change is accepted if its score is within 0.001 of the baseline's and it is faster beyond doubt.

    Args:
        bundle: the bundle with the change.
        baseline: ``report.json`` of the bundle without it, made with ``sts``.
        sts: the benchmark's file that the report was made with.
        change: what was changed, in words.
        precision, engine: of the bundle with the change.
        baseline_precision, baseline_engine: of the baseline.
        baseline_bundle: the baseline's bundle; the one in whose folder the report lies if left out.
        repeats: timed runs of each, for each shape.
        threads: of a CPU; one per core if left out.
        progress: told of each step.

    Returns:
        The trial; ``accepted`` is the verdict, ``reasons`` say why not.

    Raises:
        LamError: a package is missing, the two cannot be compared, or one of them cannot run.
    """
    require("scipy", "polygraphy", "jinja2", "onnxruntime", extra="report,cpu")
    from lam_export.bench.gate.history import add_trial, new_trial, read_history, write_history
    from lam_export.bench.gate.history_page import history_page
    from lam_export.bench.gate.protocol import compare_speed, objections
    from lam_export.evidence.corpus import read_corpus

    from .reported_score import read_score, score_of, scored

    opened = Bundle(bundle)
    held = read_score(baseline, baseline_bundle, engine=baseline_engine, precision=baseline_precision)
    history = read_history(held.bundle.path)
    corpus = read_corpus(None, sts, builtin=False)
    same = opened.path.resolve() == held.bundle.path.resolve()
    if same and (engine, precision) == (baseline_engine, baseline_precision):
        raise LamError("expected a change, found the baseline itself; name another bundle, --precision or --engine")
    progress.begin(f"score of {opened.path}", len(corpus.texts))
    score = score_of(opened, corpus, held, engine=engine, precision=precision, progress=progress.advance)
    with (
        load_engine(held.bundle.path, baseline_engine, precision=baseline_precision, threads=threads) as before,
        load_engine(opened.path, engine, precision=precision, threads=threads) as after,
    ):
        speed = compare_speed(before, after, repeats=repeats, on_step=lambda step: progress.begin(step, None))
    trial = new_trial(
        change,
        held.subject,
        scored(opened, engine, precision, score),
        speed,
        objections(held.subject.score, score, speed),
    )
    grown = add_trial(history, trial)
    for folder in {held.bundle.path.resolve(), opened.path.resolve()}:
        write_history(grown, folder, history_page(grown))
    return trial
