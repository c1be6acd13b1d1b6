"""What a benchmark says: the schema of ``bench.json``, and what its tables and plots are made from."""

from typing import Annotated, Literal

from pydantic import Field

from lam_engines.bundles.manifest import Sha256
from lam_export.evidence.schema import EntrantInfo, ShapeInfo, Strict


class Times(Strict):
    """What the timed runs took."""

    seconds: Annotated[tuple[float, ...], Field(min_length=1)]
    """Of each run, in order."""
    median: float
    quartiles: tuple[float, float]
    """Half of the runs lie between them."""
    tokens_per_second: float
    """At the median, padding not counted."""
    times_as_fast: dict[str, float]
    """Than each entrant of ``baselines`` that has times here: the median of the ratios of neighbouring runs."""


class Memory(Strict):
    """Of the process that did the work and nothing else, in bytes of main memory."""

    loaded: int
    """Held once the model was loaded, before any text."""
    peak: int
    """The most that it held while it was timed, ``loaded`` in it."""


class Result(Strict):
    """One entrant at one piece of work."""

    entrant: str
    shape: str
    status: Literal["measured", "mismatch", "not run"]
    """Embeddings that do not hold the thresholds get no times."""
    note: str
    """Why there are no times, or what to know of them."""
    max_abs: float | None
    """Of the worst text, from the reference; none for another model."""
    cosine: float | None
    """As ``max_abs``."""
    times: Times | None
    memory: Memory | None
    """None where the system does not say."""


class Benchmark(Strict):
    """``bench.json``."""

    bench_version: Literal[1] = 1
    created: str
    """ISO 8601, UTC."""
    bundle: str
    """Folder name alone."""
    manifest_sha256: Sha256
    machine: str
    load: float | None
    """Average number of processes that wanted to run in the minute before the first measurement."""
    threads: int
    """Of each entrant that runs on a CPU."""
    tools: dict[str, str]
    """Versions."""
    reference: str
    """What embeddings were compared with."""
    baselines: tuple[str, ...]
    """Entrants that the others are held against, none if there is but one."""
    entrants: tuple[EntrantInfo, ...]
    shapes: tuple[ShapeInfo, ...]
    results: tuple[Result, ...]
    """Shape by shape, in the order of ``entrants``."""

    @property
    def matched(self) -> bool:
        """Whether no entrant gave wrong embeddings."""
        return all(result.status != "mismatch" for result in self.results)
