"""Embeddings from a server, for code without asyncio."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from ...embedding.texts import checked_texts
from . import wire
from .calls import calls_of
from .errors import RefusedError, ServerError
from .grpc import Grpc, GrpcCalls
from .http import Http
from .retries import Attempts

_T = TypeVar("_T")


class EmbeddingClient:
    """A connection to a server of ``lam-export serve``. Several threads may use it at once."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        model: str | None = None,
        timeout: float = 60.0,
        retries: int = 10,
        in_flight: int = 4,
        api_key: str | None = None,
        ca: str | None = None,
    ) -> None:
        """Prepare a client. It sends nothing before the first call.

        Args:
            url: ``http://HOST:PORT`` or ``https://...`` of the own server or of Triton's HTTP port; ``grpc://HOST:PORT``
                or ``grpcs://...`` of Triton's gRPC port.
            model: name of the model. Default: the own server's first; ``lam_embed`` with gRPC.
            timeout: seconds for each request, retries included.
            retries: how often a request is sent again if there is no server, or if it has too much to do.
            in_flight: largest number of requests of one call that the server has at once.
            api_key: sent as ``Authorization: Bearer KEY``.
            ca: PEM file of the authority that signed the server's certificate. Default: the system's authorities.

        Raises:
            InputError: ``url`` is of another kind.
        """
        calls = calls_of(url, model, timeout, api_key, ca)
        self._connection = Grpc(calls) if isinstance(calls, GrpcCalls) else Http(calls)
        self.url, self.timeout, self.retries, self.in_flight = url, timeout, retries, in_flight
        self._served: wire.ServedModel | None = None
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings ``[len(texts), hidden]`` float32, as of an engine. See :meth:`embed_counted` for errors."""
        return self.embed_counted(texts).vectors

    def embed_counted(self, texts: Sequence[str], *, request_id: str = "") -> wire.Embeddings:
        """Embed any number of texts. The result also says how many tokens each had and whether it was cut.

        Args:
            texts: any Unicode. The server decides how long they may be.
            request_id: for the server's log.

        Raises:
            InputError: ``texts`` is no list of texts.
            RefusedError: the server refuses one of the texts.
            ServerBusyError, ServerTimeoutError, ServerUnavailableError: the server is overloaded, too slow or absent,
                after all retries. Later the call may succeed.
            ServerError: the server failed, serves another model, or does not know the key.
        """
        texts = checked_texts(texts)
        served = self.served()

        def ask(rows: np.ndarray) -> wire.Embeddings:
            part = [texts[row] for row in rows]
            try:
                return self._attempted(lambda s: self._connection.infer(part, request_id, served.hidden_size, s))
            except RefusedError as error:
                raise wire.refused(error, rows) from None

        parts = list(served.parts(texts))
        with ThreadPoolExecutor(max(1, min(self.in_flight, len(parts)))) as pool:
            answers = [(rows, pool.submit(ask, rows)) for rows in parts]
            try:
                done = [(rows, answer.result()) for rows, answer in answers]
            except BaseException:  # after a failure or Ctrl-C, send no more requests
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return wire.joined(done, len(texts), served.hidden_size)

    def served(self) -> wire.ServedModel:
        """What the server says about the model. It is asked once. See :meth:`embed_counted` for errors."""
        with self._lock:
            if self._served is None:
                self._served = self._attempted(self._connection.served)
            return self._served

    def close(self) -> None:
        """Close the connection. The client cannot be used afterwards."""
        self._connection.close()

    def __enter__(self) -> "EmbeddingClient":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _attempted(self, call: Callable[[float], _T]) -> _T:
        """Make a call, with timeout and retries. It is given the seconds that are left."""
        attempts = Attempts(timeout=self.timeout, retries=self.retries)
        while True:
            try:
                return call(attempts.seconds())
            except ServerError as error:
                pause = attempts.pause(error)
            time.sleep(pause)
