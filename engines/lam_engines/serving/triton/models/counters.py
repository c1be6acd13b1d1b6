"""What ``lam_core`` counts, for Prometheus.

Triton's own statistics of ``lam_core`` end when a request is in the pool: how long its texts wait there, and how long
they are computed, is told by these.
"""

import threading
from typing import Any

import triton_python_backend_utils as pb_utils

COUNTERS = {
    "lam_texts": "Texts that were embedded",
    "lam_tokens": "Tokens of the texts that were embedded, without padding",
    "lam_padding_tokens": "Tokens of padding that were computed beside them",
    "lam_batches": "Batches that the texts were put together to",
    "lam_wait_seconds": "Seconds that the texts waited for their batch, each text counted",
    "lam_compute_seconds": "Seconds that the texts were computed, each text counted",
}


class Counters:
    """:data:`COUNTERS`. Many threads may count at once."""

    def __init__(self) -> None:
        self._families = {
            name: pb_utils.MetricFamily(name=name, description=description, kind=pb_utils.MetricFamily.COUNTER)
            for name, description in COUNTERS.items()
        }
        self._metrics: dict[str, Any] = {name: family.Metric(labels={}) for name, family in self._families.items()}
        self._lock = threading.Lock()

    def add(self, **values: float) -> None:
        """Count on, by names of :data:`COUNTERS`."""
        with self._lock:
            for name, value in values.items():
                self._metrics[name].increment(value)
