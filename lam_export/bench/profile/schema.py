"""What a profile says: the schema of ``profile.json``, and what its tables and plots are made from."""

from typing import Literal

from pydantic import Field

from lam_export.anatomy.parts import Part
from lam_export.evidence.schema import Measured, Outcome, Record


class Cell(Record):
    """All operators of one kind in one part of one layer."""

    part: Part
    """The part of the model."""
    layer: int | None
    """The layer, from 0; none for what is in no layer, or where it could not be told."""
    operator: str
    """The kind of the operators as the runtime names it, ``FusedMatMul``."""
    count: int
    """How many operators there are."""
    seconds: float
    """The seconds of one run: the sum of each operator's median."""


class ProfileResult(Outcome):
    """One subject at one piece of work."""

    plain: tuple[float, ...]
    """The seconds of each run of the subject as it serves."""
    profiled: tuple[float, ...]
    """The seconds of each run on record; each followed one of ``plain``."""
    cells: tuple[Cell, ...]
    """Where the time went."""
    operations: dict[Part, float] = Field(default_factory=dict)
    """Additions and multiplications by part, counted from the shapes in ONNX Runtime's graph."""


class Profile(Measured):
    """``profile.json``."""

    profile_version: Literal[1] = 1
    """The version of this schema."""
    results: tuple[ProfileResult, ...]
    """What came of each subject at each piece of work."""
