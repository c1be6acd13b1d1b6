"""What ``lam-export profile`` does: lay an engine's time to the parts of the model."""

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
    from lam_export.evidence.record import Shown

FOLDER = Path(REPORTS, "profile")
"""Where a profile lies in its bundle."""


@dataclass(frozen=True)
class WrittenProfile:
    """A profile, and where it was written."""

    shown: "Shown"
    folder: Path


def profile(
    bundle: Path | str,
    *,
    engines: Sequence[str] = (registry.DEFAULT,),
    precisions: Sequence[str] | None = None,
    checkpoint: Path | None = None,
    teacher: Path | None = None,
    shapes: Sequence[tuple[int, int]] | None = None,
    layers: bool = False,
    seconds: float = 5,
    threads: int | None = None,
    output: Path | None = None,
    progress: Progress = Progress(),
    warn: Callable[[str], None] = warnings.warn,
) -> WrittenProfile:
    """Profile a bundle in its engines, or its checkpoint in PyTorch, by part of the model.

    Embeddings are compared first; wrong ones get no times. Plain and profiled runs take turns.

    Args:
        bundle: the bundle's folder.
        engines: runtimes, and ``pytorch``.
        precisions: each runtime's default if left out.
        checkpoint: what the bundle was made from, for ``pytorch``.
        teacher: the checkpoint's teacher, if it needs one.
        shapes: texts and tokens of each; 1 x 128, 32 x 32, 1 x 512 and 1 x 4,096 if left out.
        layers: show each layer on the terminal and in Markdown too.
        seconds: about how long to measure each shape.
        threads: of a CPU; one per core if left out.
        output: folder of the results; ``reports/profile`` of the bundle if left out.
        progress: told of each step.
        warn: told what makes the figures doubtful.

    Raises:
        LamError: a package or a file is missing, or nothing could be timed.
    """
    require("polygraphy", "jinja2", "onnx", extra="report")
    require("onnxruntime", extra="cpu")
    from lam_export.bench.profile.profile_page import shown
    from lam_export.bench.profile.session import SHAPES, chosen, profiled
    from lam_export.evidence.provenance import Setting
    from lam_export.evidence.record import check_folder, write_record
    from lam_export.evidence.subjects.pytorch import CheckpointFiles

    opened = Bundle(bundle)
    folder = output or opened.path / FOLDER
    check_folder(folder)
    files = None if checkpoint is None else CheckpointFiles(checkpoint, teacher)
    wanted = chosen(opened, engines, precisions, files)
    setting = Setting.here(threads)
    if warning := setting.warning():
        warn(warning)
    found = profiled(opened, setting, wanted, shapes or SHAPES, checkpoint=files, seconds=seconds, progress=progress)
    if all(result.status == "not run" for result in found.results):
        raise LamError(f"nothing could be timed; {found.results[0].subject}: {found.results[0].note}")
    written = shown(found, layers=layers)
    write_record(folder, "profile", written)
    return WrittenProfile(written, folder)
