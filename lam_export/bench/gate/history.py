"""The changes that were tried on a model, kept and rejected: ``reports/history.json`` of a bundle."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from lam_engines.bundles.manifest import Precision, Sha256
from lam_engines.bundles.whole import write_whole
from lam_engines.contract import REPORTS
from lam_engines.errors import LamError
from lam_export.evidence.provenance import machine
from lam_export.evidence.schema import Record

from .protocol import Speed

HISTORY = Path(REPORTS, "history.json")


class ScoredSubject(Record):
    """One of the two that are compared."""

    bundle: str
    """Folder name alone."""
    manifest_sha256: Sha256
    engine: str
    precision: Precision
    score: float
    """Spearman's correlation on the STS benchmark."""


class Trial(Record):
    """One change, and whether it was kept."""

    change: str
    """What was changed, in the words of who did it."""
    created: str
    """ISO 8601, UTC."""
    machine: str
    baseline: ScoredSubject
    candidate: ScoredSubject
    speedups: dict[str, float]
    """Shape of a batch to how many times as fast the candidate is: the median of neighbouring runs' ratios."""
    speedup: float
    """Geometric mean over the shapes."""
    low: float
    high: float
    """95 % bootstrap interval of the speedup, over the runs."""
    accepted: bool
    reasons: tuple[str, ...]
    """Why it was rejected."""


class History(Record):
    """``history.json``: a bundle's ancestors and what was tried on them, oldest first."""

    history_version: Literal[1] = 1
    trials: tuple[Trial, ...] = ()


def read_history(bundle: Path) -> History:
    """A bundle's history, empty if it has none.

    Raises:
        LamError: the file is no history.
    """
    path = bundle / HISTORY
    try:
        return History.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return History()
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise LamError(f"expected the history of a bundle in {path}, found: {reason}; move the file away") from None


def new_trial(
    change: str, baseline: ScoredSubject, candidate: ScoredSubject, speed: Speed, reasons: tuple[str, ...]
) -> Trial:
    """What is remembered of a comparison that was made just now, on this machine."""
    return Trial(
        change=change,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=machine(),
        baseline=baseline,
        candidate=candidate,
        speedups=dict(speed.shapes),
        speedup=speed.overall,
        low=speed.low,
        high=speed.high,
        accepted=not reasons,
        reasons=reasons,
    )


def add_trial(history: History, trial: Trial) -> History:
    """The history with one more trial, the latest."""
    return History(trials=(*history.trials, trial))


def write_history(history: History, bundle: Path, page: str) -> None:
    """Put a history into a bundle, with the page that shows it.

    Raises:
        LamError: the disk is full, or the bundle may not be written to.
    """
    try:
        write_whole(bundle / HISTORY.with_suffix(".html"), page.encode("utf-8"))
        write_whole(bundle / HISTORY, f"{history.model_dump_json(indent=2)}\n".encode())
    except OSError as error:
        raise LamError(f"the history was not written to {bundle / HISTORY} ({error.strerror})") from None
