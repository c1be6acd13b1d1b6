"""What was measured of a served model."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Load(_Strict):
    """One kind of load, and how the server bore it."""

    kind: Literal["closed", "open"]
    """Closed: so many clients, each of which waits for its answer. Open: so many requests a second, come what may."""
    level: float
    """Clients, or requests a second."""
    seconds: float
    """From the first request to the last answer."""
    requests: int
    """That were answered with embeddings."""
    texts: int
    tokens: int
    """Of those."""
    quantiles: tuple[float, ...]
    """Seconds that 0, 1, ... 100 % of the answered requests took at most. In an open load they count from the moment at
    which a request was due, so that a server that holds up its clients is not let off."""
    errors: dict[str, int]
    """Requests by what went wrong."""
    wrong: int
    """Texts whose embedding differs from the engine's by more than the tolerance."""
    max_abs: float
    """The largest difference of any figure from the engine's."""

    @property
    def name(self) -> str:
        """For people."""
        unit = "requests/s" if self.kind == "open" else "client" if self.level == 1 else "clients"
        return f"{self.level:g} {unit}"


class Account(_Strict):
    """A model's part in the work, by the server's own statistics: mean milliseconds of a request."""

    model: str
    requests: int
    executions: int
    """Batches that they were put together to."""
    queue: float
    compute: float


class ServingBenchmark(_Strict):
    """``serving.json``."""

    created: str
    protocol: str
    machine: str
    load_before: float | None
    """Processes that wanted to run before the first request; on a busy machine the figures mean little."""
    tools: dict[str, str]
    bundle: str
    texts_per_request: int
    longest: int
    """Tokens of the longest text of the mix."""
    tolerance: float
    loads: tuple[Load, ...]
    accounts: tuple[Account, ...]
    """None through the OpenAI front."""
