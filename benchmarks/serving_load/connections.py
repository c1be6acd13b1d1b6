"""Connections to a served model: Triton over gRPC or HTTP, and the own server."""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from lam_engines.contract import ENSEMBLE, SENTENCE_EMBEDDING, TEXT
from lam_engines.errors import LamError

from .schema import Account


class RequestError(Exception):
    """A request was not answered with embeddings. The message is the kind of error, by which errors are counted."""


class Connection(ABC):
    """A connection that many threads may use at once. It sends no request twice."""

    protocol: str
    """Its name in the record."""

    @abstractmethod
    def send(self, texts: Sequence[str]) -> np.ndarray:
        """``[len(texts), hidden]`` float32.

        Raises:
            RequestError: no embeddings came back.
        """

    def accounts(self) -> tuple[Account, ...]:
        """The server's statistics since it started; empty if it keeps none."""
        return ()


def connect(url: str, *, timeout: float, connections: int, metrics: str | None = None) -> Connection:
    """Connect to a served model.

    Args:
        url: ``grpc://HOST:8001`` or ``http://HOST:8000`` for Triton, ``http://HOST:8080/v1`` for the own server.
        timeout: seconds that a request may take.
        connections: number of HTTP connections that are kept open.
        metrics: ``http://HOST:8002/metrics`` of a Triton server. Without it, the statistics leave out ``lam_core``.

    Raises:
        LamError: the address is of another kind, or no server answers there.
    """
    parts = urlsplit(url)
    if parts.scheme == "grpc" and parts.netloc:
        return _Grpc(parts.netloc, timeout, metrics)
    if parts.scheme == "http" and parts.netloc:
        if parts.path.rstrip("/").endswith("/v1"):
            return _OpenAi(url.rstrip("/"), timeout, connections)
        return _Http(url.rstrip("/"), timeout, connections, metrics)
    raise LamError(f"expected grpc://HOST:8001, http://HOST:8000 or http://HOST:8080/v1, found {url}")


class _Grpc(Connection):
    protocol = "Triton, gRPC"

    def __init__(self, address: str, timeout: float, metrics: str | None) -> None:
        from lam_engines.serving.client import EmbeddingClient

        self._metrics = metrics
        self._client = EmbeddingClient(f"grpc://{address}", timeout=timeout, retries=0)
        self._client.served()

    def send(self, texts: Sequence[str]) -> np.ndarray:
        from lam_engines.serving.client import ServerError

        try:
            return self._client.embed(texts)
        except ServerError as error:
            raise RequestError(type(error).__name__) from error

    def accounts(self) -> tuple[Account, ...]:
        from tritonclient.grpc import InferenceServerClient

        with InferenceServerClient(self._client.url.removeprefix("grpc://")) as client:
            statistics = client.get_inference_statistics(as_json=True, client_timeout=self._client.timeout)
        return _accounts(statistics, self._metrics)


class HttpConnection(Connection):
    """JSON over HTTP."""

    path: str
    """Where embeddings are asked for, below the server's address."""

    @abstractmethod
    def body(self, texts: Sequence[str]) -> dict[str, Any]:
        """The request's JSON."""

    @abstractmethod
    def embeddings(self, answer: Any) -> np.ndarray:
        """``[n, hidden]`` float32 of the answer's JSON."""

    def send(self, texts: Sequence[str]) -> np.ndarray:
        return self.embeddings(self._json(self.path, self.body(texts)))

    def request(self, texts: Sequence[str]) -> bytes:
        """What :meth:`send` sends, for clients that know no HTTP."""
        body, parts = json.dumps(self.body(texts)).encode(), urlsplit(self.url + self.path)
        head = f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json"
        return "\r\n".join((*head, f"Content-Length: {len(body)}", "", "")).encode() + body

    def __init__(self, url: str, timeout: float, connections: int) -> None:
        import urllib3

        self.url, self.timeout = url, timeout
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


class _Http(HttpConnection):
    protocol, path = "Triton, HTTP", f"/v2/models/{ENSEMBLE}/infer"

    def __init__(self, url: str, timeout: float, connections: int, metrics: str | None) -> None:
        super().__init__(url, timeout, connections)
        self._metrics = metrics
        self._first(f"/v2/models/{ENSEMBLE}")

    def body(self, texts: Sequence[str]) -> dict[str, Any]:
        tensor = {"name": TEXT, "shape": [len(texts), 1], "datatype": "BYTES", "data": list(texts)}
        return {"inputs": [tensor], "outputs": [{"name": SENTENCE_EMBEDDING}]}

    def embeddings(self, answer: Any) -> np.ndarray:
        (found,) = answer["outputs"]
        return np.array(found["data"], dtype=np.float32).reshape(found["shape"])

    def accounts(self) -> tuple[Account, ...]:
        return _accounts(self._json("/v2/models/stats"), self._metrics)


class _OpenAi(HttpConnection):
    protocol, path = "own server, OpenAI", "/embeddings"

    def __init__(self, url: str, timeout: float, connections: int) -> None:
        super().__init__(url, timeout, connections)
        self._model = self._first("/models")["data"][0]["id"]

    def body(self, texts: Sequence[str]) -> dict[str, Any]:
        return {"model": self._model, "input": list(texts), "encoding_format": "base64"}

    def embeddings(self, answer: Any) -> np.ndarray:
        found = sorted(answer["data"], key=lambda item: item["index"])
        return np.stack([np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4") for item in found])


def _accounts(statistics: dict[str, Any], metrics: str | None) -> tuple[Account, ...]:
    """Read the JSON of Triton's statistics. Over gRPC it has numbers as strings and leaves out zeros.

    The figures of ``lam_core`` come from its own counters. Triton counts a request to it as done when its texts are in
    the pool.
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
    """The counters of ``lam_core``, from Prometheus' text format."""
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
