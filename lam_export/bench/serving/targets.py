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


def target(url: str, *, timeout: float, connections: int, metrics: str | None = None) -> Target:
    """``grpc://HOST:8001`` or ``http://HOST:8000`` for Triton, ``http://HOST:8080/v1`` for the OpenAI front.

    Args:
        url: as above.
        timeout: seconds for a request.
        connections: that are kept open.
        metrics: ``http://HOST:8002/metrics`` of a Triton server; without it nothing is known of ``lam_core``.

    Raises:
        LamError: another kind of address, or no answer there.
    """
    parts = urlsplit(url)
    if parts.scheme == "grpc" and parts.netloc:
        return _Grpc(parts.netloc, timeout, metrics)
    if parts.scheme == "http" and parts.netloc:
        if parts.path.rstrip("/").endswith("/v1"):
            return _OpenAi(url.rstrip("/"), timeout, connections)
        return _Http(url.rstrip("/"), timeout, connections, metrics)
    raise LamError(f"expected grpc://HOST:8001, http://HOST:8000 or http://HOST:8080/v1, found {url}")


class _Grpc(Target):
    protocol = "Triton, gRPC"

    def __init__(self, address: str, timeout: float, metrics: str | None) -> None:
        from lam_engines.serving.triton.client import TritonClient

        self._metrics = metrics
        self._client = TritonClient(address, timeout=timeout, retries=0)
        self._client.served()

    def send(self, texts: Sequence[str]) -> np.ndarray:
        from lam_engines.serving.triton.client import ServerError

        try:
            return self._client.embed(texts)
        except ServerError as error:
            raise RequestError(type(error).__name__) from error

    def accounts(self) -> tuple[Account, ...]:
        from tritonclient.grpc import InferenceServerClient

        with InferenceServerClient(self._client.url) as client:
            statistics = client.get_inference_statistics(as_json=True, client_timeout=self._client.timeout)
        return _accounts(statistics, self._metrics)


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

    def __init__(self, url: str, timeout: float, connections: int, metrics: str | None) -> None:
        super().__init__(url, timeout, connections)
        self._metrics = metrics
        self._first("/v2/models/lam_embed")

    def send(self, texts: Sequence[str]) -> np.ndarray:
        tensor = {"name": "text", "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}
        body = {"inputs": [tensor], "outputs": [{"name": "sentence_embedding"}]}
        (found,) = self._json("/v2/models/lam_embed/infer", body)["outputs"]
        return np.array(found["data"], dtype=np.float32).reshape(found["shape"])

    def accounts(self) -> tuple[Account, ...]:
        return _accounts(self._json("/v2/models/stats"), self._metrics)


class _OpenAi(_Pool):
    protocol = "OpenAI front"

    def __init__(self, url: str, timeout: float, connections: int) -> None:
        super().__init__(url, timeout, connections)
        self._model = self._first("/models")["data"][0]["id"]

    def send(self, texts: Sequence[str]) -> np.ndarray:
        body = {"model": self._model, "input": list(texts), "encoding_format": "base64"}
        found = sorted(self._json("/embeddings", body)["data"], key=lambda item: item["index"])
        return np.stack([np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4") for item in found])


def _accounts(statistics: dict[str, Any], metrics: str | None) -> tuple[Account, ...]:
    """From the JSON of Triton's statistics, in which gRPC gives numbers as strings and leaves out zeros.

    ``lam_core``, for which a request is over when its texts are in its pool, is told by its own counters.
    """

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

    found = {model["name"]: account(model) for model in statistics["model_stats"]}
    core = found.pop("lam_core", None)
    if core is not None and metrics is not None:
        counted = _counters(metrics)
        texts = max(1.0, counted["lam_texts"])
        found["lam_core"] = Account(
            model="lam_core",
            requests=core.requests,
            executions=round(counted["lam_batches"]),
            queue=core.queue + counted["lam_wait_seconds"] / texts * 1e3,
            compute=counted["lam_compute_seconds"] / texts * 1e3,
        )
    return tuple(found.values())


def _counters(url: str) -> dict[str, float]:
    """What ``lam_core`` has counted, from Prometheus' text format."""
    import urllib3

    try:
        lines = urllib3.request("GET", url, timeout=10, retries=False).data.decode().splitlines()
    except urllib3.exceptions.HTTPError as error:
        raise LamError(
            f"expected the server's metrics at {url}, found none ({error}); see what serve printed"
        ) from None
    counted = dict(line.split() for line in lines if line.startswith("lam_"))
    if "lam_texts" not in counted:
        raise LamError(f"expected the counters of lam_core at {url}, found none; give the address that serve printed")
    return {name: float(value) for name, value in counted.items()}
