"""What the server counts, for Prometheus."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_MODEL = ("model", "engine", "precision")


class Metrics:
    """The metrics of one server. Values that a model has now are read when ``/metrics`` is asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("lam_requests", "Requests answered", ("path", "status"), registry=self.registry)
        self.request_seconds = Histogram(
            "lam_request_seconds", "Seconds to a request's answer", ("path",), buckets=_SECONDS, registry=self.registry
        )
        self.rejected = Counter("lam_rejected", "Requests refused, by reason", ("reason",), registry=self.registry)
        self.stage_seconds = Histogram(
            "lam_stage_seconds",
            "Seconds of a text's way: queue and compute for each text, tokenize for each request",
            (*_MODEL, "stage"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.texts = Counter("lam_texts", "Texts embedded", _MODEL, registry=self.registry)
        self.tokens = Counter("lam_tokens", "Tokens of them, without padding", _MODEL, registry=self.registry)
        self.padding = Counter("lam_padding_tokens", "Tokens of padding computed", _MODEL, registry=self.registry)
        self.abandoned = Counter(
            "lam_abandoned_texts", "Texts dropped because their client had gone", _MODEL, registry=self.registry
        )
        self.batch_texts = Histogram(
            "lam_batch_texts",
            "Texts in a batch",
            _MODEL,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self.registry,
        )
        self.waiting_tokens = Gauge(
            "lam_waiting_tokens", "Tokens of the texts that wait or are computed", _MODEL, registry=self.registry
        )
        self.waiting_seconds = Gauge(
            "lam_waiting_seconds", "Seconds that a new text would wait", _MODEL, registry=self.registry
        )

    def of(self, labels: "ModelLabels") -> "ModelMetrics":
        """What is counted of one model."""
        values = labels.values
        return ModelMetrics(
            tokenize=self.stage_seconds.labels(*values, "tokenize"),
            queue=self.stage_seconds.labels(*values, "queue"),
            compute=self.stage_seconds.labels(*values, "compute"),
            texts=self.texts.labels(*values),
            tokens=self.tokens.labels(*values),
            padding=self.padding.labels(*values),
            abandoned=self.abandoned.labels(*values),
            batch_texts=self.batch_texts.labels(*values),
            overloaded=self.rejected.labels("overloaded"),
        )


@dataclass(frozen=True)
class ModelMetrics:
    """Of one model. The labels are looked up once."""

    tokenize: Histogram
    queue: Histogram
    compute: Histogram
    texts: Counter
    tokens: Counter
    padding: Counter
    abandoned: Counter
    batch_texts: Histogram
    overloaded: Counter


@dataclass(frozen=True)
class ModelLabels:
    """The labels of one model."""

    model: str
    engine: str
    precision: str

    @property
    def values(self) -> tuple[str, str, str]:
        return self.model, self.engine, self.precision
