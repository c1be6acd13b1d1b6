"""What a benchmark says: the schema of ``bench.json``, and what its tables and plots are made from."""

from typing import Annotated, Literal

from pydantic import Field

from lam_export.evidence.schema import Measured, Outcome, Record, ShapeInfo


class Times(Record):
    """What the timed runs took."""

    seconds: Annotated[tuple[float, ...], Field(min_length=1)]
    """The seconds of each run, in order."""
    median: float
    """The median of the runs, in seconds."""
    quartiles: tuple[float, float]
    """The quartiles in seconds: half of the runs lie between them."""
    tokens_per_second: float
    """Tokens a second at the median; padding is not counted."""
    times_as_fast: dict[str, float]
    """How many times as fast it is as each subject of ``baselines``: the median of the ratios of neighbouring runs."""


class ProcessMemory(Record):
    """Main memory of the process that did the work and nothing else, in bytes."""

    loaded: int
    """What the process held once the model was loaded, before any text."""
    peak: int
    """The most that the process held while it was timed, ``loaded`` included."""


class SpeedResult(Outcome):
    """One subject at one piece of work."""

    times: Times | None
    """What it took; none if it was not measured."""
    memory: ProcessMemory | None
    """The memory of its process; none where the system does not say."""


class Benchmark(Measured):
    """``bench.json``."""

    bench_version: Literal[1] = 1
    """The version of this schema."""
    baselines: tuple[str, ...]
    """The subjects that the others are compared with; empty if there is but one subject."""
    shapes: tuple[ShapeInfo, ...]
    """The pieces of work, in the order in which they were timed."""
    results: tuple[SpeedResult, ...]
    """What came of them: shape by shape, in the order of ``subjects``."""
