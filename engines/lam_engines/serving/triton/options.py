"""How an encoder's bundle is to be served."""

from dataclasses import dataclass

from ...embedding.batching import DEFAULT_BATCH_TOKENS, GPU_BATCH_TOKENS
from ...errors import InputError
from ...runtimes.registry import DEFAULT
from ..limits import TRUNCATIONS


@dataclass(frozen=True)
class ServingOptions:
    """Everything about a repository that does not follow from the bundle."""

    flavour: str = "python"
    """What computes; one of :data:`~lam_engines.serving.triton.flavours.FLAVOURS`."""
    engine: str = DEFAULT
    """The runtime that computes with the flavour python; ``auto``: the fastest on this machine."""
    precision: str | None = None
    """Precision of the graph or plan; None: ``fp32``, and ``fp16`` with the flavour tensorrt."""
    device: str | None = None
    """``cpu`` or ``cuda``; None: the flavour's default."""
    plan: str | None = None
    """Which of the bundle's plans the flavour tensorrt runs; None: the only one of that precision."""
    max_tokens: int | None = None
    """Tokens of the longest text, special tokens included; None: 8,192, or the plan's longest if that is less."""
    truncation: str = "refuse"
    """What happens to longer texts; one of :data:`TRUNCATIONS`."""
    max_batch: int = 64
    """Largest number of texts in a request, and of texts taken from the queue at once."""
    batch_tokens: int | None = None
    """Largest number of tokens in a batch, padding counted; None: the engine's default, and 16,384 on a GPU."""
    instances: int = 1
    """Batches that are computed at the same time. One more is prepared and answered meanwhile, which OpenVINO computes
    too, on a share of the threads. With the flavours onnxruntime and tensorrt, each instance has its own memory."""
    threads: int | None = None
    """Threads that compute one batch on a CPU; None: all that the server may use, less one for each other batch."""
    queue_size: int = 256
    """Requests that may wait for the model. More are refused with UNAVAILABLE."""
    queue_timeout: float = 30.0
    """Seconds that a request may wait. Then it is refused with UNAVAILABLE."""
    queue_delay: float = 0.0
    """Seconds that an idle model waits for more requests before it takes the first."""
    cache: bool = False
    """Keep answers in Triton's response cache. The server needs ``--cache-config``."""

    def __post_init__(self) -> None:
        """Check what can be checked without a bundle.

        Raises:
            InputError: a value is out of range.
        """
        if self.truncation not in TRUNCATIONS:
            raise InputError(f"expected truncation {' or '.join(TRUNCATIONS)}, found {self.truncation!r}")
        least = {"max_tokens": 8, "max_batch": 1, "batch_tokens": 1, "instances": 1, "threads": 1, "queue_size": 1}
        for name, low in least.items():
            if (number := getattr(self, name)) is not None and number < low:
                raise InputError(f"expected {name} of at least {low}, found {number}")
        for name in ("queue_timeout", "queue_delay"):
            if getattr(self, name) < 0:
                raise InputError(f"expected {name} of at least 0 seconds, found {getattr(self, name)}")

    @property
    def on_gpu(self) -> bool:
        """Whether the network runs on a GPU. Known once the options are resolved."""
        return self.device == "cuda"

    @property
    def tokens_at_once(self) -> int:
        """Largest number of tokens in a batch."""
        return self.batch_tokens or (GPU_BATCH_TOKENS if self.on_gpu else DEFAULT_BATCH_TOKENS)
