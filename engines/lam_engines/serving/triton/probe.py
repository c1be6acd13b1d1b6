"""A health check by a real inference: Triton says that it is ready even when the processes of its models have died."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

from ...contract import ENSEMBLE, TEXT
from ...memories.state import INPUTS
from .memory_repository import MODEL, hidden_size_of

_BATCHES = re.compile(r'^(?:lam_batches|nv_inference_exec_count\{model="lam_memory".*?\}) (\S+)$', re.MULTILINE)
"""The counter of what has been computed, in the metrics of an encoder and of a memory."""


class Health(Enum):
    """The result of a probe."""

    SERVES = "serves"
    BUSY = "busy"
    """The server works. It refused the request because its queue is full, or did not come to it in time."""
    FAILS = "fails"
    SILENT = "silent"
    """The server did not answer in time, and computed nothing meanwhile."""


@dataclass(frozen=True)
class HealthCheck:
    """Sends one request and judges the answer."""

    model: str
    """The model to ask."""
    request: Callable[[], dict[str, Any]]
    """Makes the arguments of a new request."""

    @staticmethod
    def of(repository: Path) -> "HealthCheck":
        """The probe whose answer shows that the whole repository works."""
        if (repository / MODEL).is_dir():
            return HealthCheck(MODEL, _new_memory(hidden_size_of(repository)))
        return HealthCheck(ENSEMBLE, _new_text)

    def __call__(self, grpc_url: str, metrics_url: str, timeout: float) -> tuple[Health, str]:
        """Ask the server.

        Args:
            grpc_url: HOST:PORT of the gRPC endpoint.
            metrics_url: HOST:PORT of the metrics.
            timeout: in seconds.

        Returns:
            The server's health, and the reason in its own words.
        """
        from tritonclient.grpc import InferenceServerClient
        from tritonclient.utils import InferenceServerException

        before = _batches(metrics_url, timeout)
        try:
            with InferenceServerClient(grpc_url) as client:
                client.infer(self.model, client_timeout=timeout, **self.request())
        except InferenceServerException as error:
            said = str(error.message())
            if "DEADLINE_EXCEEDED" in str(error.status()):
                moves = _batches(metrics_url, timeout) > before
                return (Health.BUSY if moves else Health.SILENT), f"no answer within {timeout:.0f} s"
            busy = "maximum queue size" in said or "timeout expired" in said
            return (Health.BUSY if busy else Health.FAILS), said
        return Health.SERVES, ""


def version_at(grpc_url: str) -> str:
    """The version of a server that runs, such as 2.51.0."""
    from tritonclient.grpc import InferenceServerClient

    with InferenceServerClient(grpc_url) as client:
        return str(client.get_server_metadata(client_timeout=60).version)


def _batches(metrics_url: str, timeout: float) -> float:
    try:
        with urlopen(f"http://{metrics_url}/metrics", timeout=min(5.0, timeout)) as answer:
            return sum(map(float, _BATCHES.findall(answer.read().decode())))
    except OSError:
        return 0.0


def _new_text() -> dict[str, Any]:
    """A new text: for an old one the response cache would answer, even if the model is dead."""
    text = f"Is anyone there at {time.time_ns()}?".encode()
    return {"inputs": [_tensor(TEXT, "BYTES", np.array([[text]], dtype=object))]}


def _new_memory(hidden_size: int) -> Callable[[], dict[str, Any]]:
    """Makes requests that each begin a memory, ask it, and end it. They store nothing."""
    key, value, query, store = INPUTS
    zeros = np.zeros((1, hidden_size), np.float32)
    tensors = ((key, "FP32", zeros), (value, "FP32", zeros), (query, "FP32", zeros[None]), (store, "BOOL", [[False]]))

    def request() -> dict[str, Any]:
        inputs = [_tensor(name, kind, np.array(values)) for name, kind, values in tensors]
        sequence = {"sequence_id": f"probe {time.time_ns()}", "sequence_start": True, "sequence_end": True}
        return {"inputs": inputs, **sequence}

    return request


def _tensor(name: str, kind: str, values: np.ndarray) -> Any:
    from tritonclient.grpc import InferInput

    tensor = InferInput(name, list(values.shape), kind)
    tensor.set_data_from_numpy(values)
    return tensor
