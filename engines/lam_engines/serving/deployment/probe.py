"""Health check of the served model: exit code 0 if it embeds, 1 if not, with the reason on standard output.

Triton reports a model as ready although its process has died, and says nothing of answers that are empty. So this asks
for an embedding and looks at it. It runs inside the server's container and needs nothing but Python.
"""

import argparse
import json
import math
import sys
import time
import urllib.error
import urllib.request


def failure(url: str, model: str, timeout: float) -> str:
    """Why the model does not embed; empty if it does, or is so busy that its queue is full."""
    text = f"health {time.time_ns()}"  # another one each time, so that no cache answers
    tensor = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": "sentence_embedding"}]}).encode()
    try:
        with urllib.request.urlopen(f"{url}/v2/models/{model}/infer", body, timeout) as response:  # noqa: S310 - http
            vector = json.load(response)["outputs"][0]["data"]
        length = math.sqrt(sum(x * x for x in vector))
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace")
        return "" if "maximum queue size" in said else f"HTTP {error.code}: {said}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if abs(length - 1) < 1e-3 else f"expected an embedding of length 1, found {length}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="lam_embed")
    parser.add_argument("--timeout", type=float, default=8.0, help="seconds")
    reason = failure(**vars(parser.parse_args()))
    print(reason or "ok")  # noqa: T201
    sys.exit(1 if reason else 0)
