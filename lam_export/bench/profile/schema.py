"""What a profile says: the schema of ``profile.json``, and what its tables and plots are made from."""

from typing import Literal

from pydantic import Field

from lam_engines.bundles.manifest import Sha256
from lam_export.anatomy.parts import Part
from lam_export.evidence.schema import EntrantInfo, Strict


class Cell(Strict):
    """All operators of one kind in one part of one layer."""

    part: Part
    layer: int | None
    """None for what is in no layer, or where it could not be told."""
    operator: str
    """As the runtime names its kind: ``FusedMatMul``."""
    count: int
    seconds: float
    """Of one run: the sum of each operator's median."""


class Result(Strict):
    """One entrant at one shape."""

    entrant: str
    texts: int
    tokens: int
    """Of each text."""
    status: Literal["measured", "mismatch", "not run"]
    """Embeddings that do not hold the thresholds get no times."""
    note: str
    """Why there are no times, or what to know of them."""
    max_abs: float | None
    """Of the worst text, from the reference."""
    cosine: float | None
    """As ``max_abs``."""
    plain: tuple[float, ...]
    """Seconds of each run of the engine as it serves."""
    profiled: tuple[float, ...]
    """Of each run on record; each followed one of ``plain``."""
    cells: tuple[Cell, ...]
    operations: dict[Part, float] = Field(default_factory=dict)
    """Additions and multiplications by part, counted from the shapes in ONNX Runtime's graph."""

    @property
    def shape(self) -> str:
        """``1 x 4,096``, texts x tokens."""
        return f"{self.texts} x {self.tokens:,}"


class Profile(Strict):
    """``profile.json``."""

    profile_version: Literal[1] = 1
    created: str
    """ISO 8601, UTC."""
    bundle: str
    """Folder name alone."""
    manifest_sha256: Sha256
    machine: str
    load: float | None
    """Average number of processes that wanted to run in the minute before the first measurement."""
    threads: int
    tools: dict[str, str]
    """Versions."""
    reference: str
    """What embeddings were compared with."""
    entrants: tuple[EntrantInfo, ...]
    results: tuple[Result, ...]

    @property
    def matched(self) -> bool:
        """Whether no entrant gave wrong embeddings."""
        return all(result.status != "mismatch" for result in self.results)
