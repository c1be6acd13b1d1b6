"""The schema of ``bench.json``. The benchmark's tables and plots are made from the same data."""

from typing import Annotated, Literal

from pydantic import Field

from lam_export.evidence.schema import Measured, Outcome, Record, ShapeInfo


class Times(Record):
    """Times of one subject at one piece of work."""

    seconds: Annotated[tuple[float, ...], Field(min_length=1)]
    """Seconds of each run, in order."""
    median: float
    """Median of the runs in seconds."""
    quartiles: tuple[float, float]
    """First and third quartile of the runs in seconds: half of the runs lie between them."""
    tokens_per_second: float
    """Tokens per second at the median; padding is not counted."""
    times_as_fast: dict[str, float]
    """Speedup of the subject over each of ``baselines``: the median of the ratios of neighbouring runs."""


class ProcessMemory(Record):
    """Main memory of a process that does one piece of work for one subject, in bytes."""

    loaded: int
    """Bytes that the process held after the model was loaded, before any text."""
    peak: int
    """Most bytes that the process held while it was timed, ``loaded`` included."""


class SpeedResult(Outcome):
    """One subject at one piece of work."""

    times: Times | None
    """Times of the subject; null if it was not measured."""
    memory: ProcessMemory | None
    """Memory of the subject's process; null where the system does not say."""


class Benchmark(Measured):
    """The content of ``bench.json``."""

    bench_version: Literal[1] = 1
    """Version of this schema."""
    baselines: tuple[str, ...]
    """Names of the subjects that the others are compared with; empty if there is only one subject."""
    shapes: tuple[ShapeInfo, ...]
    """Pieces of work, in the order in which they were timed."""
    results: tuple[SpeedResult, ...]
    """Results shape by shape, each shape in the order of ``subjects``."""
