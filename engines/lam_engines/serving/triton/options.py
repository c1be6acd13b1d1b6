"""How a bundle is to be served."""

from dataclasses import dataclass, fields

from ...embedding.batching import DEFAULT_BATCH_TOKENS, GPU_BATCH_TOKENS
from ...errors import InputError

FLAVOURS = ("python", "onnxruntime", "tensorrt")
"""What computes: ONNX Runtime in the Python backend (CPU), Triton's onnxruntime backend, Triton's tensorrt backend."""
TRUNCATIONS = ("refuse", "truncate")
DEFAULT_MAX_TOKENS = 8192
BYTES_PER_TOKEN = 64
"""A text of more bytes than this times the tokens that are allowed is refused, or cut, before it is tokenised. Texts
have 3 to 6 bytes a token in any language."""


@dataclass(frozen=True)
class ServingOptions:
    """Everything about a repository that does not follow from the bundle."""

    flavour: str = "python"
    """One of :data:`FLAVOURS`."""
    precision: str | None = None
    """Of the graph or plan; None: ``fp32``, with tensorrt ``fp16``."""
    device: str = "cpu"
    """``cpu`` or ``cuda``, with onnxruntime. The flavour python runs on the CPU, tensorrt on the GPU."""
    plan: str | None = None
    """With tensorrt: which of the bundle's plans; may be left out where there is one of that precision."""
    max_tokens: int | None = None
    """The longest text, special tokens included; None: 8,192, or what the plan takes if that is less."""
    truncation: str = "refuse"
    """What becomes of a longer one, one of :data:`TRUNCATIONS`."""
    max_batch: int = 64
    """Texts of one request, and texts that are taken from the queue at once."""
    batch_tokens: int | None = None
    """Tokens that go through the model at once, padding counted; None: as many as the engine takes, on a GPU 16,384."""
    instances: int = 1
    """Batches that are computed at the same time; one more is prepared and answered meanwhile. With onnxruntime and
    tensorrt each has memory of its own."""
    threads: int | None = None
    """That a batch is computed with, on a CPU; None: all that the server may use, less one for each batch beside it."""
    queue_size: int = 256
    """Requests that may wait for the model; more are refused with UNAVAILABLE."""
    queue_timeout: float = 30.0
    """Seconds that a request may wait; then it is refused with UNAVAILABLE."""
    queue_delay: float = 0.0
    """Seconds that the first request in the queue waits for others while the model has nothing to do."""
    cache: bool = False
    """Keep answers in Triton's response cache (the server needs ``--cache-config``)."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: one is out of range, or makes no sense with the flavour.
        """
        choices = {"flavour": FLAVOURS, "truncation": TRUNCATIONS, "device": ("cpu", "cuda")}
        for name, known in choices.items():
            if (found := getattr(self, name)) not in known:
                raise InputError(f"expected {name} {', '.join(known[:-1])} or {known[-1]}, found {found!r}")
        least = {"max_tokens": 8, "max_batch": 1, "batch_tokens": 1, "instances": 1, "threads": 1, "queue_size": 1}
        for name, low in least.items():
            if (number := getattr(self, name)) is not None and number < low:
                raise InputError(f"expected {name} of at least {low}, found {number}")
        for name in ("queue_timeout", "queue_delay"):
            if getattr(self, name) < 0:
                raise InputError(f"expected {name} of at least 0 seconds, found {getattr(self, name)}")
        if self.device == "cuda" and self.flavour != "onnxruntime":
            raise InputError(f"expected device cpu with the flavour {self.flavour}, found cuda; leave it out")
        if self.plan is not None and self.flavour != "tensorrt":
            raise InputError(f"expected a plan with the flavour tensorrt only, found one with {self.flavour}")

    @property
    def on_gpu(self) -> bool:
        return self.flavour == "tensorrt" or self.device == "cuda"

    @property
    def tokens_at_once(self) -> int:
        return self.batch_tokens or (GPU_BATCH_TOKENS if self.on_gpu else DEFAULT_BATCH_TOKENS)

    def as_dict(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
