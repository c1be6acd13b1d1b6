"""What ``lam-export bench`` does: time a bundle beside what one would run instead."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import REPORTS
from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_engines.runtimes import registry
from lam_export.requirements import require

if TYPE_CHECKING:
    from lam_export.bench.speed.schema import SpeedResult
    from lam_export.evidence.record import Shown

FOLDER = Path(REPORTS, "bench")
"""Where a benchmark lies in its bundle."""


@dataclass(frozen=True)
class WrittenBenchmark:
    """A benchmark, and where it was written."""

    shown: "Shown"
    folder: Path


def bench_bundle(
    bundle: Path | str,
    *,
    engines: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    against: Sequence[str] = (),
    checkpoint: Path | None = None,
    teacher: Path | None = None,
    transformer: Path | None = None,
    lengths: Sequence[int] | None = None,
    quick: bool = False,
    seconds: float | None = None,
    threads: int | None = None,
    output: Path | None = None,
    progress: Progress = Progress(),
    warn: Callable[[str], None] = warnings.warn,
    interrupted: "Callable[[Shown], None]" = lambda shown: None,
) -> WrittenBenchmark:
    """Time a bundle in every engine that runs here: by length, in batches, and on a mix of lengths.

    Each subject takes its turn in a process of its own. Embeddings are compared first; wrong ones get no times.

    Args:
        bundle: the bundle's folder.
        engines: runtimes; all that run here if left out.
        precisions: all that the bundle has if left out.
        against: names of :data:`lam_export.evidence.subjects.named.NAMES`, or other bundles' folders.
        checkpoint: what the bundle was made from: the reference then, and for ``pytorch`` and ``compile``.
        teacher: the checkpoint's teacher, if it needs one.
        transformer: a BERT's folder; the demo's teacher if left out.
        lengths: tokens of single texts; 128 to 65,536 if left out.
        quick: few lengths and batches, and little time for each.
        seconds: about how long to measure each shape; 10, with ``quick`` 3, if left out.
        threads: of each subject on a CPU; one per core if left out.
        output: folder of the results; ``reports/bench`` of the bundle if left out.
        progress: told of each step.
        warn: told what makes the figures doubtful.
        interrupted: told of what was measured until Ctrl-C.

    Raises:
        LamError: a package or a file is missing, or nothing could be timed.
    """
    require("polygraphy", "jinja2", extra="report")
    require("onnxruntime", extra="cpu")
    from lam_engines.embedding.tokenizer import tokenizer_of
    from lam_export.bench.speed import shapes as work
    from lam_export.bench.speed.measure import measure
    from lam_export.bench.speed.record import record
    from lam_export.bench.speed.speed_page import shown
    from lam_export.evidence.provenance import Setting
    from lam_export.evidence.record import check_folder, write_record
    from lam_export.evidence.subjects.engines import chosen_engines, engine_subject
    from lam_export.evidence.subjects.named import NamedSubjects
    from lam_export.evidence.subjects.pytorch import CheckpointFiles

    opened = Bundle(bundle)
    folder = output or opened.path / FOLDER
    check_folder(folder)
    shapes = work.shapes(
        tokenizer_of(opened),
        lengths or (work.QUICK_LENGTHS if quick else work.LENGTHS),
        work.QUICK_BATCHES if quick else work.BATCHES,
        work.QUICK_MIX if quick else work.MIX,
    )
    setting = Setting.here(threads)
    subject_of = partial(engine_subject, opened, threads=setting.threads)
    subjects = [subject_of(*names) for names in chosen_engines(opened, engines, precisions)]
    files = None if checkpoint is None else CheckpointFiles(checkpoint, teacher)
    others = NamedSubjects(opened, setting.threads, files, transformer)
    held = list(dict.fromkeys(against))
    others.check(held)
    if warning := setting.warning():
        warn(warning)
    results: list[SpeedResult] = []
    with TemporaryDirectory() as scratch:
        progress.begin(f"reading what to compare with: {', '.join(held) or 'nothing else'}", len(held) + 1)
        reference = others.reference() or subject_of(registry.DEFAULT, "fp32")
        progress.advance(1)
        for name in held:
            subjects.append(others.subject(name, Path(scratch)))
            progress.advance(1)
        names = [subject.info.name for subject in subjects]
        if len(set(names)) < len(names):
            raise LamError(f"expected bundles of different names, found {', '.join(names)}; rename a folder")
        baselines = () if len(subjects) == 1 else names[-len(held) :] if held else names[:1]
        summary = partial(record, opened, setting, reference, baselines, subjects, shapes, results)
        try:
            for shape in shapes:
                results += measure(
                    shape,
                    subjects,
                    reference,
                    baselines=baselines,
                    seconds=seconds if seconds is not None else 3 if quick else 10,
                    progress=progress,
                )
        except (KeyboardInterrupt, SystemExit):
            if results:
                interrupted(shown(summary()))
            raise
    if all(result.status == "not run" for result in results):
        raise LamError(f"nothing could be timed; {results[0].subject}: {results[0].note}")
    found = shown(summary())
    write_record(folder, "bench", found)
    return WrittenBenchmark(found, folder)
