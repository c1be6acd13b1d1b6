"""What every record says of those that were measured."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from lam_engines.bundles.manifest import Precision, Sha256


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class EntrantInfo(Strict):
    """One that takes part."""

    name: str
    """``ONNX Runtime fp32``, ``PyTorch eager``."""
    model: Literal["this", "other"]
    """The bundle's own model, whose embeddings are compared, or another one."""
    precision: Precision
    runtime: str
    """With its version: ``onnxruntime 1.31.1``."""
    artefact: str
    """File name alone: ``model.fp16.onnx``, ``model.safetensors``."""
    sha256: Sha256


class SideInfo(Strict):
    """One of the two that are compared."""

    name: str
    """``PyTorch float64``, ``ONNX Runtime model.fp16.onnx``."""
    precision: Literal["fp64"] | Precision
    runtime: str
    """With its version: ``onnxruntime 1.31.1``."""
    artefact: str
    """File name alone: ``model.fp16.onnx``, ``student.safetensors``."""
    sha256: Sha256
    bytes: int


class Correlation(Strict):
    """A correlation with the gold scores, of the reference and of the candidate."""

    reference: float
    candidate: float
    difference: float
    """candidate - reference."""
    low: float
    high: float
    """95 % bootstrap interval of the difference, over pairs."""


class Sts(Strict):
    """The semantic textual similarity benchmark."""

    pairs: int
    spearman: Correlation
    pearson: Correlation


class ShapeInfo(Strict):
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
