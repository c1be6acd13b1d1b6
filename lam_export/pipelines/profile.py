"""``lam-export profile``: how much time each part of the model takes in an engine."""

import warnings
from collections.abc import Callable, Sequence
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
    from lam_export.evidence.record import Written

FOLDER = Path(REPORTS, "profile")
"""The profile's folder inside its bundle."""


def profile(
    bundle: Path | str,
    *,
    engines: Sequence[str] = (registry.DEFAULT,),
    precisions: Sequence[str] | None = None,
    checkpoint: Path | str | None = None,
    teacher: Path | str | None = None,
    shapes: Sequence[tuple[int, int]] | None = None,
    layers: bool = False,
    seconds: float = 5,
    threads: int | None = None,
    output: Path | str | None = None,
    progress: Progress = Progress(),
    warn: Callable[[str], None] = warnings.warn,
) -> "Written":
    """Measure how much time each part of the model takes, in a bundle's engines or in PyTorch.

    Embeddings are compared first; an engine whose embeddings are wrong is not timed. Plain and profiled runs alternate,
    so the cost of profiling is known.

    Args:
        bundle: the bundle's folder.
        engines: runtimes, and ``pytorch``.
        precisions: precisions to run; if left out, each runtime's default.
        checkpoint: the checkpoint that the bundle was made from; ``pytorch`` needs it.
        teacher: the checkpoint's teacher (a BERT); needed only if the checkpoint lacks weights or the tokenizer.
        shapes: pairs of a number of texts and the tokens of each; if left out, 1 x 128, 32 x 32, 1 x 512, 1 x 4,096.
        layers: show each layer on the terminal and in Markdown too.
        seconds: about how long to measure each shape.
        threads: CPU threads for each batch; if left out, one per core.
        output: folder of the results; if left out, ``reports/profile`` in the bundle.
        progress: told of each step.
        warn: called with every reason to doubt the figures.

    Raises:
        LamError: a package or a file is missing, or nothing could be timed.
    """
    require("polygraphy", "jinja2", "onnx", "onnxruntime", extra="bench,cpu")
    from lam_export.bench.profile.profile_page import shown
    from lam_export.bench.profile.session import SHAPES, chosen, profiled
    from lam_export.evidence.provenance import Setting
    from lam_export.evidence.record import check_folder, write_record
    from lam_export.evidence.subjects.pytorch import CheckpointFiles

    opened = Bundle(bundle)
    folder = path_or_none(output) or opened.path / FOLDER
    check_folder(folder)
    files = None if checkpoint is None else CheckpointFiles(Path(checkpoint), path_or_none(teacher))
    wanted = chosen(opened, engines, precisions, files)
    setting = Setting.here(threads)
    if warning := setting.warning():
        warn(warning)
    found = profiled(opened, setting, wanted, shapes or SHAPES, checkpoint=files, seconds=seconds, progress=progress)
    if all(result.status == "not run" for result in found.results):
        raise LamError(f"nothing could be timed; {found.results[0].subject}: {found.results[0].note}")
    return write_record(folder, "profile", shown(found, layers=layers))
