"""Does the server serve? A real inference: the server calls itself ready although its models' processes have died."""

import json
import time
from enum import Enum
from http.client import HTTPConnection, HTTPException


def _request() -> str:
    """A text that was never sent before: the response cache would answer for a model that is dead."""
    text = f"Is anyone there at {time.time_ns()}?"
    return json.dumps({"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}]})


class Health(Enum):
    """What a probe found."""

    SERVES = "serves"
    BUSY = "busy"
    """It refuses because its queue is full: it works."""
    FAILS = "fails"
    SILENT = "silent"
    """No answer in time."""


def probe(url: str, model: str, timeout: float) -> tuple[Health, str]:
    """Embed a text.

    Args:
        url: HOST:PORT of the HTTP endpoint.
        model: to ask.
        timeout: in seconds.

    Returns:
        What was found, and in the server's own words why.
    """
    host, _, port = url.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request("POST", f"/v2/models/{model}/infer", _request())
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
