"""What pipelines are given: a path, or what was read from it before."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import Source
from lam_engines.errors import LamError

if TYPE_CHECKING:
    from lam_export.model.checkpoint import Checkpoint


def open_bundle(bundle: Bundle | Path | str) -> Bundle:
    """The bundle of an encoder.

    Raises:
        BundleError: there is none, or one of a memory.
    """
    return bundle if isinstance(bundle, Bundle) else Bundle(bundle)


def read_checkpoint(checkpoint: "Checkpoint | Path | str", teacher: Path | str | None) -> "Checkpoint":
    """The checkpoint, with its teacher's tensors if it needs one.

    Raises:
        CheckpointError: there is none, or it is broken or not a LAM's.
        LamError: a teacher is named for a checkpoint that was read before.
    """
    from lam_export.model.checkpoint import load_checkpoint

    if isinstance(checkpoint, Path | str):
        return load_checkpoint(checkpoint, teacher)
    if teacher is not None:
        raise LamError(
            f"expected a teacher with the path of a checkpoint, found it with one that was read before; give it to "
            f"load_checkpoint: {teacher}"
        )
    return checkpoint


def teacher_source(checkpoint: "Checkpoint") -> Source | None:
    """The teacher's file as a manifest names it; None if the checkpoint needed none."""
    from lam_export.model.checkpoint import sha256_of

    teacher = checkpoint.teacher
    return None if teacher is None else Source(file=teacher.name, sha256=sha256_of(teacher))
