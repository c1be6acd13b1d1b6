"""The parts that all JSON records share: what was measured, where, and what came of it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from lam_engines.bundles.manifest import Precision, Sha256


class Record(BaseModel):
    """Base of everything that is written as JSON: no unknown field, and every field described."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SubjectInfo(Record):
    """A subject: what is known of it before it is loaded."""

    name: str
    """Name of the subject in tables, such as ``ONNX Runtime fp16`` or ``PyTorch float64``."""
    model: Literal["this", "other"]
    """Whether the subject is the bundle's own model or another one; only the own model's embeddings are compared."""
    precision: Literal["fp64"] | Precision
    """Precision in which the subject computes."""
    runtime: str
    """Runtime with its version, such as ``onnxruntime 1.31.1``."""
    artefact: str
    """Name of the file that the subject was loaded from, without its folder."""
    sha256: Sha256
    """SHA-256 of the file ``artefact``."""
    bytes: int
    """Size of the file ``artefact`` in bytes."""


class Scores(Record):
    """A score of reference and candidate, and how sure their difference is."""

    reference: float
    """Score of the reference."""
    candidate: float
    """Score of the candidate."""
    difference: float
    """The candidate's score minus the reference's."""
    low: float
    """Lower end of the difference's 95 % interval, from a bootstrap over pairs or queries."""
    high: float
    """Upper end of the difference's 95 % interval, from a bootstrap over pairs or queries."""


class Sts(Record):
    """The semantic textual similarity benchmark."""

    pairs: int
    """Number of pairs of texts with a gold score."""
    spearman: Scores
    """Spearman's rank correlation of the cosines with the gold scores."""
    pearson: Scores
    """Pearson's linear correlation of the cosines with the gold scores."""


class TaskScore(Scores):
    """The score of reference and candidate on one task of similarity or retrieval."""

    task: str
    """Name of the task: that of its folder."""
    measure: Literal["Spearman", "nDCG@10"]
    """Spearman's correlation with gold scores, or the normalised discounted cumulative gain of the 10 nearest."""
    cases: int
    """Number of pairs, or of queries with relevant documents."""
    documents: int | None
    """Number of documents that were searched; null for a task of similarity."""


class ShapeInfo(Record):
    """A piece of work that is timed."""

    name: str
    """Name of the piece of work: texts x tokens, such as ``1 x 4,096``."""
    kind: Literal["length", "batch", "mix"]
    """Whether the work is one text alone, a batch of one length, or texts of many lengths that the subject batches."""
    texts: int
    """Number of texts in the work."""
    longest: int
    """Number of tokens of the longest text."""
    tokens: int
    """Number of tokens of all texts together, without padding."""


class Outcome(Record):
    """What came of one subject at one piece of work."""

    subject: str
    """Name of the subject that did the work."""
    shape: str
    """Name of the piece of work: texts x tokens, such as ``1 x 4,096``."""
    status: Literal["measured", "mismatch", "not run"]
    """Whether the subject was measured. Embeddings that miss the thresholds are a ``mismatch`` and get no times."""
    note: str
    """Why the subject has no times, or a caveat of its figures; usually empty."""
    max_abs: float | None
    """Largest difference of an element from the reference, of the worst text; null for another model."""
    cosine: float | None
    """Cosine with the reference, of the worst text; null for another model."""


class Made(Record):
    """A record about a bundle: when, where and with what it was made."""

    created: str
    """Time at which the record was made, in UTC, as ISO 8601 writes it."""
    bundle: str
    """Name of the bundle's folder, without the folders above it."""
    manifest_sha256: Sha256
    """SHA-256 of the bundle's manifest."""
    machine: str
    """Processor, cores and operating system of the machine, without its host name."""
    tools: dict[str, str]
    """Versions of the packages that the figures depend on, by name."""


class Measured(Made):
    """A record of a measurement: subjects, machine, time, tools and results."""

    load: float | None
    """Average load of the machine (runnable processes) in the minute before the first measurement; null if unknown."""
    threads: int
    """Number of threads of each subject that runs on a CPU."""
    reference: str
    """Name of the subject that all embeddings were compared with."""
    subjects: tuple[SubjectInfo, ...]
    """All subjects that were measured."""
    results: tuple[Outcome, ...]
    """Result of each subject at each piece of work."""

    @property
    def matched(self) -> bool:
        """Whether no subject gave wrong embeddings."""
        return all(result.status != "mismatch" for result in self.results)
