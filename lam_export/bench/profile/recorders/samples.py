"""The data that a profiler gives for one run."""

from dataclasses import dataclass

from lam_export.anatomy.parts import Place


@dataclass(frozen=True)
class Sample:
    """One operator in one run."""

    name: str
    """Name of the node, unique in a run."""
    kind: str
    """Kind of the operator, such as ``FusedMatMul``."""
    place: Place
    seconds: float
    operations: float | None = None
    """Number of additions and multiplications; None where shapes are unknown."""


@dataclass(frozen=True)
class Run:
    """One profiled run."""

    seconds: float
    """Seconds of the whole run."""
    samples: tuple[Sample, ...]
