"""Counters of ``lam_core`` for Prometheus.

For Triton's own statistics, a request to ``lam_core`` ends when its texts are in the pool. These counters say how long
the texts then wait, and how long computing takes.
"""

import threading
from typing import Any

import triton_python_backend_utils as pb_utils

COUNTERS = {
    "lam_texts": "Texts embedded",
    "lam_tokens": "Tokens of the texts embedded, without padding",
    "lam_padding_tokens": "Tokens of padding computed",
    "lam_batches": "Batches computed",
    "lam_wait_seconds": "Seconds that texts waited for their batch, summed over texts",
    "lam_compute_seconds": "Seconds that computing a text's batch took, summed over texts",
}


WAITING = "lam_waiting_requests"


class Counters:
    """The counters of :data:`COUNTERS`, and the requests that wait now. Several threads may add at once."""

    def __init__(self) -> None:
        self._families = {
            name: pb_utils.MetricFamily(name=name, description=description, kind=pb_utils.MetricFamily.COUNTER)
            for name, description in COUNTERS.items()
        }
        self._metrics: dict[str, Any] = {name: family.Metric(labels={}) for name, family in self._families.items()}
        self._waiting = pb_utils.MetricFamily(
            name=WAITING, description="Requests that wait or are computed", kind=pb_utils.MetricFamily.GAUGE
        )
        self._waiting_now: Any = self._waiting.Metric(labels={})
        self._lock = threading.Lock()

    def add(self, **values: float) -> None:
        """Add to counters, named as in :data:`COUNTERS`."""
        with self._lock:
            for name, value in values.items():
                self._metrics[name].increment(value)

    def waits(self, requests: int) -> None:
        """Add to the number of requests that wait."""
        with self._lock:
            self._waiting_now.increment(requests)
