"""``lam-export bench``: time a bundle beside its alternatives."""

import warnings
from collections.abc import Callable, Sequence
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

from .inputs import path_or_none

if TYPE_CHECKING:
    from lam_export.evidence.record import Shown, Written

FOLDER = Path(REPORTS, "bench")
"""The benchmark's folder inside its bundle."""


def bench_bundle(
    bundle: Path | str,
    *,
    engines: Sequence[str] | None = None,
    precisions: Sequence[str] | None = None,
    against: Sequence[str] = (),
    checkpoint: Path | str | None = None,
    teacher: Path | str | None = None,
    transformer: Path | str | None = None,
    lengths: Sequence[int] | None = None,
    quick: bool = False,
    seconds: float | None = None,
    threads: int | None = None,
    output: Path | str | None = None,
    progress: Progress = Progress(),
    warn: Callable[[str], None] = warnings.warn,
    interrupted: "Callable[[Shown], None]" = lambda shown: None,
) -> "Written":
    """Time a bundle in every engine that runs here: by length, in batches, and on a mix of lengths.

    Each subject runs in a process of its own, one at a time. Embeddings are compared first; a subject whose embeddings
    are wrong is not timed.

    Args:
        bundle: the bundle's folder.
        engines: runtimes to time; if left out, all that run here.
        precisions: precisions to time; if left out, all that the bundle has.
        against: alternatives: names of :data:`lam_export.evidence.subjects.named.NAMES`, or other bundles' folders.
        checkpoint: the checkpoint that the bundle was made from. If named, it is the reference; ``pytorch`` and
            ``compile`` need it.
        teacher: the checkpoint's teacher (a BERT); needed only if the checkpoint lacks weights or the tokenizer.
        transformer: the folder of a BERT to compare with; if left out, the demo's teacher.
        lengths: tokens of single texts; if left out, 128 to 65,536.
        quick: measure few lengths and batches, each for a short time.
        seconds: about how long to measure each shape; if left out, 10, or 3 with ``quick``.
        threads: CPU threads for each batch; if left out, one per core.
        output: folder of the results; if left out, ``reports/bench`` in the bundle.
        progress: told of each step.
        warn: called with every reason to doubt the figures.
        interrupted: called on Ctrl-C with the results so far.

    Raises:
        LamError: a package or a file is missing, or nothing could be timed.
    """
    require("polygraphy", "jinja2", "onnxruntime", extra="bench,cpu")
    from lam_engines.embedding.tokenizer import tokenizer_of
    from lam_export.bench.speed import shapes as work
    from lam_export.bench.speed.measure import measure
    from lam_export.bench.speed.schema import Benchmark, SpeedResult
    from lam_export.bench.speed.speed_page import shown
    from lam_export.evidence.provenance import Setting
    from lam_export.evidence.record import check_folder, write_record
    from lam_export.evidence.subjects.engines import chosen_engines, engine_subject
    from lam_export.evidence.subjects.named import NamedSubjects
    from lam_export.evidence.subjects.pytorch import CheckpointFiles

    opened = Bundle(bundle)
    folder = path_or_none(output) or opened.path / FOLDER
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
    files = None if checkpoint is None else CheckpointFiles(Path(checkpoint), path_or_none(teacher))
    others = NamedSubjects(opened, setting.threads, files, path_or_none(transformer))
    held = list(dict.fromkeys(against))
    others.check(held)
    if warning := setting.warning():
        warn(warning)
    results: list[SpeedResult] = []
    with TemporaryDirectory() as scratch:
        progress.begin(f"reading what to compare with: {', '.join(held) or 'nothing else'}", len(held) + 1)
        reference = others.reference() or subject_of(registry.REFERENCE, "fp32")
        progress.advance(1)
        for name in held:
            subjects.append(others.subject(name, Path(scratch)))
            progress.advance(1)
        names = [subject.info.name for subject in subjects]
        if len(set(names)) < len(names):
            raise LamError(f"expected bundles with different names, found {', '.join(names)}; rename a folder")
        baselines = () if len(subjects) == 1 else names[-len(held) :] if held else names[:1]

        def found() -> Benchmark:
            done = {result.shape for result in results}
            return Benchmark(
                **setting.head(opened, subjects),
                reference=f"{reference.info.name} ({reference.info.runtime})",
                baselines=tuple(baselines),
                shapes=tuple(shape.info for shape in shapes if shape.info.name in done),
                results=tuple(results),
            )

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
                interrupted(shown(found()))
            raise
    if all(result.status == "not run" for result in results):
        raise LamError(f"nothing could be timed; {results[0].subject}: {results[0].note}")
    return write_record(folder, "bench", shown(found()))
