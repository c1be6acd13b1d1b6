"""Does the server serve? A real inference: the server calls itself ready although its models' processes have died."""

import json
import time
from collections.abc import Callable
from enum import Enum
from http.client import HTTPConnection, HTTPException
from typing import Any


def new_text() -> str:
    """A request with a text that was never sent before: the response cache would answer for a model that is dead."""
    text = f"Is anyone there at {time.time_ns()}?"
    return json.dumps({"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}]})


def new_memory(hidden_size: int) -> Callable[[], str]:
    """Requests that ask a memory of their own, begun and ended by them, in which nothing is stored."""
    zeros, vector = [0.0] * hidden_size, [1, hidden_size]
    inputs: list[dict[str, Any]] = [
        {"name": name, "shape": vector, "datatype": "FP32", "data": zeros} for name in ("key", "value")
    ]
    inputs += [
        {"name": "query", "shape": [1, *vector], "datatype": "FP32", "data": zeros},
        {"name": "store", "shape": [1, 1], "datatype": "BOOL", "data": [False]},
    ]

    def request() -> str:
        sequence = {"sequence_id": f"probe {time.time_ns()}", "sequence_start": True, "sequence_end": True}
        return json.dumps({"parameters": sequence, "inputs": inputs})

    return request


class Health(Enum):
    """What a probe found."""

    SERVES = "serves"
    BUSY = "busy"
    """It refuses because its queue is full: it works."""
    FAILS = "fails"
    SILENT = "silent"
    """No answer in time."""


def probe(url: str, model: str, timeout: float, request: Callable[[], str] = new_text) -> tuple[Health, str]:
    """Embed a text, or ask whatever else the request does.

    Args:
        url: HOST:PORT of the HTTP endpoint.
        model: to ask.
        timeout: in seconds.
        request: gives the body of one.

    Returns:
        What was found, and in the server's own words why.
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
