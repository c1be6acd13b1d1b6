"""The schema of ``report.json``. The report's pages are drawn from the same data."""

from typing import Annotated, Literal

from pydantic import Field

from lam_engines.bundles.manifest import Sha256
from lam_export.evidence.schema import Made, Record, Sts, SubjectInfo, TaskScore


class TextRow(Record):
    """One text's error against the reference."""

    text: str
    """The first 200 characters of the text."""
    kind: str
    """Kind of a built-in text, such as ``prose`` or ``code``; ``file``, ``sts`` and ``task`` for the user's."""
    language: str
    """Language code of a built-in text, such as ``en``; the main script of a user's text, such as ``Latin``."""
    tokens: int
    """Number of tokens of the text."""
    max_abs: float
    """Largest difference of an element, relative to the length of the reference's embedding."""
    relative_rms: float
    """Length of the difference, relative to the length of the reference's embedding."""
    cosine: float
    """Cosine between the candidate's and the reference's embedding."""


class Bucket(Record):
    """Texts of one range of lengths, one language or one kind."""

    by: Literal["length", "language", "kind"]
    """Property by which the texts are grouped."""
    name: str
    """Name of the group, such as ``17-64`` tokens, ``de`` or ``code``."""
    texts: int
    """Number of texts in the group."""
    worst_max_abs: float
    """Largest ``max_abs`` of the group's texts."""
    worst_relative_rms: float
    """Largest ``relative_rms`` of the group's texts."""
    worst_cosine: float
    """Smallest cosine of the group's texts."""
    mean_cosine: float
    """Mean cosine of the group's texts."""


class PartError(Record):
    """The error of one part of the network: relative RMS over all tokens of the texts that were examined."""

    part: str
    """Name of the PyTorch module, such as ``layers.3.form``, or of a step in it, such as ``layers.3.form.mixed``."""
    total: float
    """Error of the part's values, with the errors of all parts before it."""
    own: float
    """Error that the part alone adds: it is fed with the reference's values instead of those of the parts before it."""
    suspect: bool
    """Whether the part's own error is larger than rounding to its precision explains."""


class Neighbours(Record):
    """Do the nearest texts stay the nearest?"""

    corpus: int
    """Number of texts among which neighbours were searched."""
    recall_at_1: float
    """Share of texts with the same nearest text by candidate and reference; ties count as the same."""
    recall_at_10: float
    """Mean share of a text's 10 nearest texts that candidate and reference have in common; ties count as the same."""


class Stability(Record):
    """How far a text's embedding moves when the text stays the same; each cosine is the worst of the texts tried."""

    texts: int
    """Number of texts that were tried."""
    batch_cosine: float
    """Cosine of a text's embedding alone with its embedding in a batch of texts of about its length."""
    padding_cosine: float
    """Cosine of a text's embedding alone with its embedding when padded beside a much longer text."""
    neighbours_cosine: float
    """Cosine of a text's embedding in one batch with its embedding in a batch of the same shape with other texts."""
    worst_text: str
    """The text with the lowest of these cosines, cut to 200 characters."""
    runs: int
    """Number of times that one batch was run."""
    runs_max_abs: float
    """Largest difference of an element between runs of one batch; 0 if the runtime is deterministic."""


class Check(Record):
    """One threshold of the gate, and what was found."""

    name: str
    """Name of the threshold, as the file of thresholds has it, such as ``cosine``."""
    holds_if: Literal["at least", "at most"]
    """Whether the figure must be at least or at most the threshold."""
    threshold: float
    """Figure that the gate asks for."""
    found: float
    """Figure that was measured."""
    passed: bool
    """Whether the figure holds the threshold."""
    detail: str
    """Sentence that says by how much and on what a check failed; for a passed check, the worst text or nothing."""


class Series(Record):
    """The data of the plots: one number for each text, or for each pair of texts."""

    tokens: tuple[int, ...]
    """Number of tokens of each text."""
    max_abs: tuple[float, ...]
    """Largest difference of an element from the reference, for each text."""
    relative_rms: tuple[float, ...]
    """Relative RMS error against the reference, for each text."""
    cosine: tuple[float, ...]
    """Cosine with the reference, for each text."""
    sts_gold: tuple[float, ...]
    """Gold score of each pair; empty without pairs."""
    sts_reference: tuple[float, ...]
    """Cosine of each pair's two texts by the reference."""
    sts_candidate: tuple[float, ...]
    """Cosine of each pair's two texts by the candidate."""


class Comparison(Record):
    """A candidate against a reference."""

    reference: SubjectInfo
    """Subject whose embeddings are right."""
    candidate: SubjectInfo
    """Subject that is compared with the reference."""
    texts: int
    """Number of texts that were compared."""
    nan: int
    """Number of NaN elements in the candidate's embeddings."""
    inf: int
    """Number of infinite elements in the candidate's embeddings."""
    max_abs: float
    """Largest ``max_abs`` of all texts."""
    relative_rms: float
    """Largest ``relative_rms`` of all texts."""
    cosine: float
    """Smallest cosine of all texts."""
    mean_cosine: float
    """Mean cosine of all texts."""
    worst: tuple[TextRow, ...]
    """Texts with the lowest cosines, worst first."""
    buckets: tuple[Bucket, ...]
    """Figures by length, by language and by kind of text."""
    parts: tuple[PartError, ...]
    """Error of each part of the network in the order of computation; empty if the runtime shows no inner values."""
    neighbours: Neighbours
    """How many nearest neighbours the candidate keeps."""
    sts: Sts | None
    """Scores on the pairs with gold scores; null without pairs."""
    tasks: tuple[TaskScore, ...] = ()
    """Scores on the user's tasks of similarity and retrieval."""
    stability: Stability
    """How far the candidate's embeddings depend on the batch and the run."""
    seconds: float
    """Seconds of the candidate's original, uncached run over all texts; not a benchmark."""
    checks: tuple[Check, ...]
    """All thresholds of the gate, each with what was found."""
    series: Series
    """Figures of every text and pair, from which the plots are drawn."""

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def suspect(self) -> str | None:
        """The first part whose own error is more than its precision explains; None if there is none."""
        return next((part.part for part in self.parts if part.suspect), None)

    @property
    def asked_cosine(self) -> float | None:
        """The gate's threshold for every text's cosine; None if there is none."""
        return next((check.threshold for check in self.checks if check.name == "cosine"), None)


class Report(Made):
    """The content of ``report.json``."""

    report_version: Literal[1]
    """Version of this schema."""
    passed: bool
    """Whether every candidate passed every check."""
    checkpoint_sha256: Sha256
    """SHA-256 of the checkpoint's weights."""
    texts: int
    """Number of texts that were embedded."""
    texts_sha256: Sha256
    """SHA-256 of all texts, in order."""
    starts: tuple[str, ...] = ()
    """The first 60 characters of each text, in the order of the series; plots label their points with them."""
    sources: tuple[str, ...]
    """Where the texts come from: ``built-in``, and the names of the user's files."""
    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]
    """One comparison for each candidate, all with the same reference."""
