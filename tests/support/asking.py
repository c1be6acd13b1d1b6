"""Asking a Triton server for embeddings with what Triton's own users have: no code of ours in between."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

TIMEOUT = 60.0
Ask = Callable[[list[bytes]], dict[str, np.ndarray]]


class AskedError(Exception):
    """What a client sees of a request that failed; ``status`` is the gRPC code or the HTTP status."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


def over_grpc(url: str, *, timeout: float = TIMEOUT, model: str = "lam_embed") -> Ask:
    """Texts of one request to all outputs, over one gRPC connection."""
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(url)

    def ask(texts: list[bytes]) -> dict[str, np.ndarray]:
        given = InferInput("text", [len(texts), 1], "BYTES")
        given.set_data_from_numpy(np.array([[text] for text in texts], dtype=object))
        try:
            result = client.infer(model, [given], client_timeout=timeout)
        except InferenceServerException as error:
            raise AskedError(str(error.status()).removeprefix("StatusCode."), str(error.message())) from None
        return {name: result.as_numpy(name) for name in ("sentence_embedding", "token_count", "truncated")}

    return ask


def over_http(url: str, *, timeout: float = TIMEOUT, model: str = "lam_embed") -> Ask:
    """Texts of one request to all outputs, as JSON over one HTTP connection at a time."""
    types = {"FP32": np.float32, "INT32": np.int32, "BOOL": bool}

    def ask(texts: list[bytes]) -> dict[str, np.ndarray]:
        given = {"name": "text", "shape": [len(texts), 1], "datatype": "BYTES", "data": [t.decode() for t in texts]}
        connection = HTTPConnection(url, timeout=timeout)
        try:
            connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [given]}))
            response = connection.getresponse()
            content: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise AskedError(str(response.status), content["error"])
        return {
            output["name"]: np.array(output["data"], dtype=types[output["datatype"]]).reshape(output["shape"])
            for output in content["outputs"]
        }

    return ask


def embeddings(ask: Ask, texts: Sequence[bytes], concurrency: int) -> np.ndarray:
    """``[n, hidden]``, one request a text, so many at a time."""
    with ThreadPoolExecutor(concurrency) as pool:
        return np.concatenate([found["sentence_embedding"] for found in pool.map(lambda text: ask([text]), texts)])
