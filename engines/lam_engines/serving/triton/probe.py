"""A health check by a real inference: Triton says that it is ready even when the processes of its models have died."""

import json
import time
from collections.abc import Callable
from enum import Enum
from http.client import HTTPConnection, HTTPException
from typing import Any

from ...contract import TEXT
from ...memories.state import INPUTS


def new_text() -> str:
    """A request with a new text: for an old one the response cache would answer, even if the model is dead."""
    text = f"Is anyone there at {time.time_ns()}?"
    return json.dumps({"inputs": [{"name": TEXT, "shape": [1, 1], "datatype": "BYTES", "data": [text]}]})


def new_memory(hidden_size: int) -> Callable[[], str]:
    """Makes requests that each begin a memory, ask it, and end it. They store nothing."""
    key, value, query, store = INPUTS
    zeros, vector = [0.0] * hidden_size, [1, hidden_size]
    inputs: list[dict[str, Any]] = [
        {"name": name, "shape": vector, "datatype": "FP32", "data": zeros} for name in (key, value)
    ]
    inputs += [
        {"name": query, "shape": [1, *vector], "datatype": "FP32", "data": zeros},
        {"name": store, "shape": [1, 1], "datatype": "BOOL", "data": [False]},
    ]

    def request() -> str:
        sequence = {"sequence_id": f"probe {time.time_ns()}", "sequence_start": True, "sequence_end": True}
        return json.dumps({"parameters": sequence, "inputs": inputs})

    return request


class Health(Enum):
    """The result of a probe."""

    SERVES = "serves"
    BUSY = "busy"
    """The server works. It refused the request because its queue is full."""
    FAILS = "fails"
    SILENT = "silent"
    """The server did not answer in time."""


def probe(url: str, model: str, timeout: float, request: Callable[[], str] = new_text) -> tuple[Health, str]:
    """Send one request and judge the answer.

    Args:
        url: HOST:PORT of the HTTP endpoint.
        model: the model to ask.
        timeout: in seconds.
        request: makes the body of the request.

    Returns:
        The server's health, and the reason in its own words.
    """
    host, _, port = url.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request("POST", f"/v2/models/{model}/infer", request())
        response = connection.getresponse()
        content = response.read()
    except TimeoutError:
        return Health.SILENT, f"no answer within {timeout:.0f} s"
    except (OSError, HTTPException) as error:
        return Health.FAILS, str(error) or type(error).__name__
    finally:
        connection.close()
    if response.status == 200:
        return Health.SERVES, ""
    said = content.decode("utf-8", "replace")
    busy = "maximum queue size" in said or "Request timeout expired" in said
    return (Health.BUSY if busy else Health.FAILS), said
