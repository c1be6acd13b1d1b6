"""What a report says: the schema of ``report.json``, and what its pages are drawn from."""

from typing import Annotated, Literal

from pydantic import Field

from lam_engines.bundles.manifest import Sha256
from lam_export.evidence.schema import Record, Sts, SubjectInfo


class TextRow(Record):
    """One text's error against the reference."""

    text: str
    """Cut to 200 characters."""
    kind: str
    """Where it is from: ``prose``, ``code``, .., ``file``, ``sts``."""
    language: str
    """``en``, ``de``, ..; for texts of a file the script of most of its letters: ``Latin``, ``Cyrillic``, ``Han``."""
    tokens: int
    max_abs: float
    relative_rms: float
    cosine: float


class Bucket(Record):
    """Texts of one range of lengths, one language or one kind."""

    by: Literal["length", "language", "kind"]
    name: str
    texts: int
    worst_max_abs: float
    worst_relative_rms: float
    worst_cosine: float
    mean_cosine: float


class PartError(Record):
    """The error behind one part of the network, relative RMS over all tokens of the texts that were looked at."""

    part: str
    """The PyTorch module, ``layers.3.form``, or a step of its fused operator: ``layers.3.form.mixed``."""
    total: float
    """With all error of the parts before it."""
    own: float
    """Fed with the reference's own values: the error of this part alone."""
    suspect: bool


class Neighbours(Record):
    """Do the nearest texts stay the nearest?"""

    corpus: int
    recall_at_1: float
    recall_at_10: float


class Stability(Record):
    """How far one text's embedding moves when nothing about the text changed; worst over the texts that were tried."""

    texts: int
    batch_cosine: float
    """Alone, and among others of its length."""
    padding_cosine: float
    """Alone, and padded beside a much longer one."""
    neighbours_cosine: float
    """Beside one set of texts, and beside another."""
    worst_text: str
    runs: int
    runs_max_abs: float
    """The same batch, run again: 0 if the runtime is deterministic."""


class Check(Record):
    """One threshold of the gate."""

    name: str
    """As in the thresholds' file: ``cosine``, ``sts_difference``."""
    holds_if: Literal["at least", "at most"]
    threshold: float
    found: float
    passed: bool
    detail: str
    """Which text, part or measure; with the command that looks closer where there is one."""


class Series(Record):
    """What the plots are drawn from: one number a text, or one a pair."""

    tokens: tuple[int, ...]
    max_abs: tuple[float, ...]
    relative_rms: tuple[float, ...]
    cosine: tuple[float, ...]
    sts_gold: tuple[float, ...]
    sts_reference: tuple[float, ...]
    sts_candidate: tuple[float, ...]


class Comparison(Record):
    """A candidate against a reference."""

    reference: SubjectInfo
    candidate: SubjectInfo
    texts: int
    nan: int
    """Elements of the candidate's embeddings that are not a number."""
    inf: int
    max_abs: float
    relative_rms: float
    cosine: float
    """The worst of each over all texts."""
    mean_cosine: float
    worst: tuple[TextRow, ...]
    """The worst texts by cosine, worst first."""
    buckets: tuple[Bucket, ...]
    parts: tuple[PartError, ...]
    """In the order of computation; empty for a runtime that shows no inner values."""
    neighbours: Neighbours
    sts: Sts | None
    stability: Stability
    seconds: float
    """Of the candidate's run over all texts, as it was when this was not in the cache; no benchmark."""
    checks: tuple[Check, ...]
    series: Series

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def suspect(self) -> str | None:
        """The first part whose own error is out of line."""
        return next((part.part for part in self.parts if part.suspect), None)


class Report(Record):
    """``report.json``."""

    report_version: Literal[1]
    passed: bool
    created: str
    """ISO 8601, UTC."""
    bundle: str
    """Folder name alone."""
    manifest_sha256: Sha256
    checkpoint_sha256: Sha256
    texts: int
    texts_sha256: Sha256
    """Over all texts, in order."""
    starts: tuple[str, ...] = ()
    """The first 60 characters of every text, in the order of the series: what a plot calls its points."""
    sources: tuple[str, ...]
    """``built-in``, and the names of the user's files."""
    tools: dict[str, str]
    machine: str
    """Processor, cores, operating system; no host name."""
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]
