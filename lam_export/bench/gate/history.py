"""The changes that were tried on a model, kept and rejected: ``reports/history.json`` of a bundle."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from lam_engines.bundles.manifest import Precision, Sha256
from lam_engines.contract import REPORTS
from lam_engines.errors import LamError
from lam_export.evidence.schema import Record

HISTORY = Path(REPORTS, "history.json")


class ScoredSubject(Record):
    """A bundle in a runtime, and its score."""

    bundle: str
    """Name of the bundle's folder, without the folders above it."""
    manifest_sha256: Sha256
    """SHA-256 of the bundle's manifest."""
    engine: str
    """Name of the runtime that ran the bundle."""
    precision: Precision
    """Precision in which the bundle was run."""
    score: float
    """Spearman's correlation on the STS benchmark."""


class Speed(Record):
    """How many times as fast a candidate is as its baseline."""

    speedups: dict[str, float]
    """Speedup of the candidate by shape of the batch: the median of the ratios of neighbouring runs."""
    speedup: float
    """Geometric mean of the speedups of all shapes."""
    low: float
    """Lower end of the speedup's 95 % interval, from a bootstrap over the runs."""
    high: float
    """Upper end of the speedup's 95 % interval, from a bootstrap over the runs."""


class Trial(Speed):
    """One change, and whether it was kept."""

    change: str
    """What was changed, in the words of the person who changed it."""
    created: str
    """Time of the comparison, in UTC, as ISO 8601 writes it."""
    machine: str
    """Processor, cores and operating system of the machine, without its host name."""
    baseline: ScoredSubject
    """Subject before the change."""
    candidate: ScoredSubject
    """Subject with the change."""
    accepted: bool
    """Whether the change was kept."""
    reasons: tuple[str, ...]
    """Why the change was rejected; empty if it was kept."""


class History(Record):
    """The content of ``history.json``: every change that was tried on a bundle or its ancestors."""

    history_version: Literal[1] = 1
    """Version of this schema."""
    trials: tuple[Trial, ...] = ()
    """All changes that were tried, oldest first."""


def read_history(bundle: Path) -> History:
    """A bundle's history, empty if it has none.

    Raises:
        LamError: the file cannot be read as a history.
    """
    path = bundle / HISTORY
    try:
        return History.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return History()
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise LamError(f"expected the history of a bundle in {path}, found: {reason}; move the file away") from None
