"""What a profiler saw in one run."""

from dataclasses import dataclass

from lam_export.anatomy.parts import Place


@dataclass(frozen=True)
class Sample:
    """One operator in one run."""

    name: str
    """Of the node, unique in a run."""
    kind: str
    """``FusedMatMul``."""
    place: Place
    seconds: float
    operations: float | None = None
    """Additions and multiplications, where shapes tell."""


@dataclass(frozen=True)
class Run:
    """One profiled run."""

    seconds: float
    """From its beginning to its end."""
    samples: tuple[Sample, ...]
