"""``lam-export inspect``: what a checkpoint or a bundle holds."""

from pathlib import Path

from lam_engines.bundles.fetching import fetched
from lam_engines.contract import MANIFEST
from lam_engines.errors import LamError

from .inspect_bundle import BundleFacts, inspect_bundle
from .inspect_checkpoint import CheckpointFacts, inspect_checkpoint

__all__ = ["BundleFacts", "CheckpointFacts", "inspect"]


def inspect(place: Path | str, *, teacher: Path | str | None = None) -> CheckpointFacts | BundleFacts:
    """Inspect a bundle if the folder has a manifest, else a checkpoint. Arguments and errors are those of the two."""
    place = fetched(place)
    if not (place / MANIFEST).exists():
        return inspect_checkpoint(place, teacher=teacher)
    if teacher is not None:
        raise LamError("expected --teacher with a checkpoint, found it with a bundle; leave it out")
    return inspect_bundle(place)
