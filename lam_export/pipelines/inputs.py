"""Reads what pipelines are given: a path as a string or a ``Path``, or an object that was read from it before."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.fetching import fetched
from lam_engines.bundles.manifest import Source
from lam_engines.errors import LamError

if TYPE_CHECKING:
    from lam_export.model.checkpoint import Checkpoint


def path_or_none(path: Path | str | None) -> Path | None:
    """The path as a ``Path``; None if it was left out."""
    return None if path is None else Path(path)


def open_bundle(bundle: Bundle | Path | str) -> Bundle:
    """Open the bundle of an encoder, unless it is open already. One that is named by URI is fetched first.

    Raises:
        BundleError: there is no bundle, or it is a memory's.
    """
    return bundle if isinstance(bundle, Bundle) else Bundle(fetched(bundle))


def read_checkpoint(checkpoint: "Checkpoint | Path | str", teacher: Path | str | None) -> "Checkpoint":
    """Read a checkpoint, unless it was read already. Its teacher's tensors are added if it needs them.

    Raises:
        CheckpointError: there is no checkpoint, it is broken, or it is not a LAM's.
        LamError: a teacher is named for a checkpoint that was read already.
    """
    from lam_export.model.checkpoint import load_checkpoint

    if isinstance(checkpoint, Path | str):
        return load_checkpoint(checkpoint, teacher)
    if teacher is not None:
        raise LamError(
            f"expected a teacher with the path of a checkpoint, found the teacher {teacher} with a checkpoint that was "
            f"read already; give the teacher to load_checkpoint"
        )
    return checkpoint


def teacher_source(checkpoint: "Checkpoint") -> Source | None:
    """The manifest's entry of the teacher's file; None if the checkpoint needed no teacher."""
    from lam_export.model.checkpoint import sha256_of

    teacher = checkpoint.teacher
    return None if teacher is None else Source(file=teacher.name, sha256=sha256_of(teacher))
