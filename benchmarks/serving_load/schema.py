"""The record of a load test."""

from typing import Literal

from lam_export.evidence.schema import Record


class Load(Record):
    """One load, and how the server answered."""

    kind: Literal["closed", "open"]
    """Closed: a number of clients, each of which waits for its answer. Open: a number of requests a second."""
    level: float
    """Number of clients, or requests a second."""
    seconds: float
    """Seconds from the first request to the last answer."""
    clients_processor_seconds: float
    """User and system time that the clients took, on the server's processors if they run on one machine."""
    requests: int
    """Requests that were answered with embeddings."""
    texts: int
    """Texts of these requests."""
    tokens: int
    """Tokens of these requests."""
    quantiles: tuple[float, ...]
    """Seconds within which 0, 1, ... 100 % of the answered requests were answered. In an open load, time counts from
    the moment at which a request was due, so that a slow server gains nothing by delaying its clients."""
    errors: dict[str, int]
    """Number of failed requests, by kind of error."""
    wrong: int
    """Texts whose embedding differs from the engine's by more than the tolerance."""
    max_abs: float
    """Largest difference of any value from the engine's."""

    @property
    def name(self) -> str:
        """The load in words, for tables."""
        unit = "requests/s" if self.kind == "open" else "client" if self.level == 1 else "clients"
        return f"{self.level:g} {unit}"


class Account(Record):
    """What the server's statistics say about one model."""

    model: str
    """Name of the model."""
    requests: int
    """Requests that the model answered."""
    executions: int
    """Batches that it computed."""
    queue: float
    """Mean milliseconds that a request waited."""
    compute: float
    """Mean milliseconds that computing took."""


class ServingBenchmark(Record):
    """``serving.json``."""

    created: str
    """When the test began."""
    protocol: str
    """How the requests were sent."""
    machine: str
    """Processor, cores and operating system."""
    load_before: float | None
    """Processes that wanted to run before the first request. Figures from a busy machine mean little."""
    tools: dict[str, str]
    """Versions of the software."""
    bundle: str
    """Name of the bundle's folder."""
    texts_per_request: int
    """Texts in each request."""
    longest: int
    """Tokens of the longest text."""
    tolerance: float
    """Largest difference of a value from the engine's that is not wrong."""
    loads: tuple[Load, ...]
    """The loads, in the order in which they ran."""
    accounts: tuple[Account, ...]
    """Statistics of the server's models; empty through the OpenAI front."""
