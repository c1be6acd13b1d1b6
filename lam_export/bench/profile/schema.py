"""The schema of ``profile.json``. The profile's tables and plots are made from the same data."""

from typing import Literal

from pydantic import Field

from lam_export.anatomy.parts import Part
from lam_export.evidence.schema import Measured, Outcome, Record


class Cell(Record):
    """All operators of one kind in one part of one layer."""

    part: Part
    """Part of the model that the operators belong to."""
    layer: int | None
    """Number of the layer, from 0; null for operators outside the layers or of an unknown layer."""
    operator: str
    """Kind of the operators in the runtime's own words, such as ``FusedMatMul``."""
    count: int
    """Number of operators in the cell."""
    seconds: float
    """Seconds of the cell in one run: the sum of the operators' medians."""


class ProfileResult(Outcome):
    """One subject at one piece of work."""

    plain: tuple[float, ...]
    """Seconds of each run without the profiler."""
    profiled: tuple[float, ...]
    """Seconds of each run with the profiler; each followed the run of ``plain`` at the same place."""
    cells: tuple[Cell, ...]
    """Time of each kind of operator in each part and layer."""
    operations: dict[Part, float] = Field(default_factory=dict)
    """Number of additions and multiplications by part, counted from the shapes in ONNX Runtime's graph."""


class Profile(Measured):
    """The content of ``profile.json``."""

    profile_version: Literal[1] = 1
    """Version of this schema."""
    results: tuple[ProfileResult, ...]
    """Result of each subject at each piece of work."""
