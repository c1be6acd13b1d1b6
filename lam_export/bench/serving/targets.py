"""The ways to a served model: Triton over gRPC or HTTP, and the OpenAI front."""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from lam_engines.errors import LamError

from .schema import Account


class RequestError(Exception):
    """A request that was not answered with embeddings; the message is its kind, to be counted."""


class Target(ABC):
    """A connection that many threads may use at once. Nothing is ever sent again."""

    protocol: str

    @abstractmethod
    def send(self, texts: Sequence[str]) -> np.ndarray:
        """``[len(texts), hidden]`` float32.

        Raises:
            RequestError: no embeddings came back.
        """

    def accounts(self) -> tuple[Account, ...]:
        """The server's statistics since it started; none if it keeps none."""
        return ()


def target(url: str, *, timeout: float, connections: int) -> Target:
    """``grpc://HOST:8001`` or ``http://HOST:8000`` for Triton, ``http://HOST:8080/v1`` for the OpenAI front.

    Args:
        url: as above.
        timeout: seconds for a request.
        connections: that are kept open.

    Raises:
        LamError: another kind of address, or no answer there.
    """
    parts = urlsplit(url)
    if parts.scheme == "grpc" and parts.netloc:
        return _Grpc(parts.netloc, timeout)
    if parts.scheme == "http" and parts.netloc:
        kind = _OpenAi if parts.path.rstrip("/").endswith("/v1") else _Http
        return kind(url.rstrip("/"), timeout, connections)
    raise LamError(f"expected grpc://HOST:8001, http://HOST:8000 or http://HOST:8080/v1, found {url}")


class _Grpc(Target):
    protocol = "Triton, gRPC"

    def __init__(self, address: str, timeout: float) -> None:
        from lam_engines.triton_client import TritonClient

        self._client = TritonClient(address, timeout=timeout, retries=0)
        self._client.served()

    def send(self, texts: Sequence[str]) -> np.ndarray:
        from lam_engines.triton_client import ServerError

        try:
            return self._client.embed(texts)
        except ServerError as error:
            raise RequestError(type(error).__name__) from error

    def accounts(self) -> tuple[Account, ...]:
        from tritonclient.grpc import InferenceServerClient

        with InferenceServerClient(self._client.url) as client:
            return _accounts(client.get_inference_statistics(as_json=True, client_timeout=self._client.timeout))


class _Pool(Target):
    """JSON over HTTP."""

    def __init__(self, url: str, timeout: float, connections: int) -> None:
        import urllib3

        self.url = url
        self._pool = urllib3.PoolManager(maxsize=connections, block=False, timeout=timeout, retries=False)

    def _json(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer to a POST of ``body``, or to a GET."""
        import urllib3

        try:
            response = self._pool.request("POST" if body else "GET", self.url + path, json=body)
        except urllib3.exceptions.HTTPError as error:
            raise RequestError(type(error).__name__) from error
        if response.status != 200:
            raise RequestError(f"HTTP {response.status}")
        return json.loads(response.data)

    def _first(self, path: str) -> Any:
        try:
            return self._json(path)
        except RequestError as error:
            raise LamError(f"expected a server at {self.url}, found none that answers ({error}); start it") from None


class _Http(_Pool):
    protocol = "Triton, HTTP"

    def __init__(self, url: str, timeout: float, connections: int) -> None:
        super().__init__(url, timeout, connections)
        self._first("/v2/models/lam_embed")

    def send(self, texts: Sequence[str]) -> np.ndarray:
        tensor = {"name": "text", "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}
        body = {"inputs": [tensor], "outputs": [{"name": "sentence_embedding"}]}
        (found,) = self._json("/v2/models/lam_embed/infer", body)["outputs"]
        return np.array(found["data"], dtype=np.float32).reshape(found["shape"])

    def accounts(self) -> tuple[Account, ...]:
        return _accounts(self._json("/v2/models/stats"))


class _OpenAi(_Pool):
    protocol = "OpenAI front"

    def __init__(self, url: str, timeout: float, connections: int) -> None:
        super().__init__(url, timeout, connections)
        self._model = self._first("/models")["data"][0]["id"]

    def send(self, texts: Sequence[str]) -> np.ndarray:
        body = {"model": self._model, "input": list(texts), "encoding_format": "base64"}
        found = sorted(self._json("/embeddings", body)["data"], key=lambda item: item["index"])
        return np.stack([np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4") for item in found])


def _accounts(statistics: dict[str, Any]) -> tuple[Account, ...]:
    """From the JSON of Triton's statistics, in which gRPC gives numbers as strings and leaves out zeros."""

    def account(model: dict[str, Any]) -> Account:
        spent = model.get("inference_stats", {})
        requests = int(spent.get("success", {}).get("count", 0))

        def mean(name: str) -> float:
            return int(spent.get(name, {}).get("ns", 0)) / 1e6 / max(1, requests)

        parts = ("compute_input", "compute_infer", "compute_output")
        executions = int(model.get("execution_count", 0))
        return Account(
            model=model["name"],
            requests=requests,
            executions=executions,
            queue=mean("queue"),
            compute=sum(mean(part) for part in parts),
        )

    return tuple(account(model) for model in statistics["model_stats"])
