"""Health check of a served model. Exit code 0: it embeds. 1: it does not, and standard output says why.

Triton reports a model as ready even when its process has died, and does not notice empty answers. So this program asks
for an embedding and checks it. Where many texts wait, the answer may not come in time; then it is enough that batches
were computed meanwhile. It runs inside the server's container and needs only Python.
"""

import argparse
import json
import math
import re
import sys
import time
import urllib.error
import urllib.request


def failure(url: str, metrics: str, model: str, timeout: float) -> str:
    """Why the model does not embed. Empty if it embeds, or if it has too much to do."""
    before = batches(metrics)
    text = f"health {time.time_ns()}"  # a new text each time, so that no cache answers
    tensor = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "sentence_embedding"}]}).encode()
    try:
        with urllib.request.urlopen(f"{url}/v2/models/{model}/infer", body, timeout) as response:  # noqa: S310 - http
            vector = json.load(response)["outputs"][0]["data"]
        length = math.sqrt(sum(x * x for x in vector))
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace")
        busy = "maximum queue size" in said or "timeout expired" in said
        return "" if busy else f"HTTP {error.code}: {said}"
    except Exception as error:
        return "" if batches(metrics) > before else f"{type(error).__name__}: {error}"
    return "" if abs(length - 1) < 1e-3 else f"expected an embedding of length 1, found {length}"


def batches(metrics: str) -> float:
    """How many batches were computed since the server started; 0 if it does not say."""
    try:
        with urllib.request.urlopen(metrics, timeout=1) as response:  # noqa: S310 - http
            return sum(map(float, re.findall(r"^lam_batches (\S+)$", response.read().decode(), re.MULTILINE)))
    except OSError:
        return 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--metrics", default="http://127.0.0.1:8002/metrics")
    parser.add_argument("--model", default="lam_embed")
    parser.add_argument("--timeout", type=float, default=8.0, help="seconds")
    reason = failure(**vars(parser.parse_args()))
    print(reason or "ok")  # noqa: T201
    sys.exit(1 if reason else 0)
