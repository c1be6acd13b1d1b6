"""What every record says of those that were measured."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from lam_engines.bundles.manifest import Precision, Sha256


class Record(BaseModel):
    """Base of everything that is written as JSON: no unknown field, and every field described."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class SubjectInfo(Record):
    """What is known of a subject without loading it."""

    name: str
    """Its name in tables, ``ONNX Runtime fp16``, ``PyTorch float64``."""
    model: Literal["this", "other"]
    """Whether it is the bundle's own model, whose embeddings are compared, or another one."""
    precision: Literal["fp64"] | Precision
    """The precision in which it computes."""
    runtime: str
    """The runtime with its version, ``onnxruntime 1.31.1``."""
    artefact: str
    """The name of the file that it was loaded from, without its folder."""
    sha256: Sha256
    """The hash of that file."""
    bytes: int
    """The size of that file."""


class Correlation(Record):
    """A correlation with the gold scores, of the reference and of the candidate."""

    reference: float
    candidate: float
    difference: float
    """candidate - reference."""
    low: float
    high: float
    """95 % bootstrap interval of the difference, over pairs."""


class Sts(Record):
    """The semantic textual similarity benchmark."""

    pairs: int
    spearman: Correlation
    pearson: Correlation


class ShapeInfo(Record):
    """A piece of work that is timed."""

    name: str
    """``1 x 4,096``, texts x tokens."""
    kind: Literal["length", "batch", "mix"]
    """One text alone, a batch of texts of one length, or texts of many lengths for the entrant to batch."""
    texts: int
    longest: int
    """Tokens of the longest text."""
    tokens: int
    """Tokens of all texts together, without padding."""


class Outcome(Record):
    """What came of one subject at one piece of work."""

    subject: str
    """The subject's name."""
    shape: str
    """The piece of work, ``1 x 4,096``: texts x tokens."""
    status: Literal["measured", "mismatch", "not run"]
    """Whether it was measured. Embeddings that do not hold the thresholds get no times."""
    note: str
    """Why there are no times, or a caveat; usually empty."""
    max_abs: float | None
    """The largest difference from the reference, of the worst text; none for another model."""
    cosine: float | None
    """The smallest cosine with the reference, of the worst text; none for another model."""


class Measured(Record):
    """A record of subjects that were measured: where, when, with what, and what came of it."""

    created: str
    """When it was made: ISO 8601, UTC."""
    bundle: str
    """The bundle's folder name, without the folders above it."""
    manifest_sha256: Sha256
    """The hash of the bundle's manifest."""
    machine: str
    """Processor, cores and operating system; no host name."""
    load: float | None
    """Processes that wanted to run, on average over the minute before the first measurement."""
    threads: int
    """Threads of each subject that runs on a CPU."""
    tools: dict[str, str]
    """Versions of what the figures depend on."""
    reference: str
    """What embeddings were compared with."""
    subjects: tuple[SubjectInfo, ...]
    """Everything that was measured."""
    results: tuple[Outcome, ...]
    """What came of each subject at each piece of work."""

    @property
    def matched(self) -> bool:
        """Whether no subject gave wrong embeddings."""
        return all(result.status != "mismatch" for result in self.results)
