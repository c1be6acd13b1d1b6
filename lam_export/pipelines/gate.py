"""``lam-export gate``: compare a change with a baseline, and accept or reject it."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_engines.runtimes import registry
from lam_export.requirements import require

from .inputs import path_or_none

if TYPE_CHECKING:
    from lam_export.bench.gate.history import Trial


def gate(
    bundle: Path | str,
    *,
    baseline: Path | str,
    sts: Path | str,
    change: str,
    precision: str = "fp32",
    engine: str = registry.REFERENCE,
    baseline_precision: str = "fp32",
    baseline_engine: str = registry.REFERENCE,
    baseline_bundle: Path | str | None = None,
    repeats: int = 15,
    threads: int | None = None,
    progress: Progress = Progress(),
) -> "Trial":
    """Score and time a change beside its baseline, and add the trial to the history of both bundles.

    A change is accepted if its score is within 0.001 of the baseline's and the 95 % interval of its
    speed-up lies above 1.

    Args:
        bundle: the bundle with the change.
        baseline: ``report.json`` of the bundle without the change, made with ``sts``.
        sts: the benchmark's file that the report was made with.
        change: what was changed, in words.
        precision, engine: run the bundle with the change so.
        baseline_precision, baseline_engine: run the baseline so.
        baseline_bundle: the baseline's bundle; if left out, the bundle whose folder holds the report.
        repeats: timed runs of each bundle, for each shape.
        threads: CPU threads for each batch; if left out, one per core.
        progress: told of each step.

    Returns:
        The trial: ``accepted`` is the verdict, and ``reasons`` say why a change is rejected.

    Raises:
        LamError: a package is missing, the two cannot be compared, or one of them cannot run.

    Example:
        ```python
        report = "my-model/reports/accuracy/report.json"
        trial = lam_export.gate("changed", baseline=report, sts="dev.csv", change="int8")
        trial.accepted, trial.reasons
        ```
    """
    require("scipy", "polygraphy", "jinja2", "onnxruntime", extra="report,cpu")
    from lam_export.bench.gate.history import HISTORY, History, Trial, read_history
    from lam_export.bench.gate.history_page import shown
    from lam_export.bench.gate.protocol import compare_speed, objections
    from lam_export.evidence.corpus import read_corpus
    from lam_export.evidence.provenance import machine, now
    from lam_export.evidence.record import write_record

    from .reported_score import read_score, score_of, scored

    opened = Bundle(bundle)
    engine = registry.choose(engine, opened, precision).runtime.name
    held = read_score(
        Path(baseline), path_or_none(baseline_bundle), engine=baseline_engine, precision=baseline_precision
    )
    history = read_history(held.bundle.path)
    corpus = read_corpus(None, Path(sts), builtin=False)
    same = opened.path.resolve() == held.bundle.path.resolve()
    if same and (engine, precision) == (held.subject.engine, baseline_precision):
        raise LamError("expected a change, found the baseline itself; name another bundle, --precision or --engine")
    progress.begin(f"score of {opened.path}", len(corpus.texts))
    score = score_of(opened, corpus, held, engine=engine, precision=precision, progress=progress.advance)
    with (
        load_engine(held.bundle.path, held.subject.engine, precision=baseline_precision, threads=threads) as before,
        load_engine(opened.path, engine, precision=precision, threads=threads) as after,
    ):
        speed = compare_speed(before, after, repeats=repeats, on_step=lambda step: progress.begin(step, None))
    reasons = objections(held.subject.score, score, speed)
    trial = Trial(
        **speed.model_dump(),
        change=change,
        created=now(),
        machine=machine(),
        baseline=held.subject,
        candidate=scored(opened, engine, precision, score),
        accepted=not reasons,
        reasons=reasons,
    )
    grown = shown(History(trials=(*history.trials, trial)))
    for folder in {held.bundle.path.resolve(), opened.path.resolve()}:
        write_record(folder / HISTORY.parent, HISTORY.stem, grown, "let the bundle be written to, or make room")
    return trial
