"""Embeddings from Triton Inference Server, for code without asyncio."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ....contract import ENSEMBLE
from ....embedding.texts import checked_texts
from . import wire
from .errors import RefusedError
from .retries import Attempts


class TritonClient:
    """A connection to a server with a repository of ``lam-export triton``. Several threads may use it at once."""

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        model: str = ENSEMBLE,
        timeout: float = 60.0,
        retries: int = 10,
        in_flight: int = 4,
    ) -> None:
        """Prepare a client. It sends nothing before the first call.

        Args:
            url: ``host:port`` of the server's gRPC endpoint.
            model: name of the model.
            timeout: seconds for each request, retries included.
            retries: how often a request is sent again if there is no server, or if its queue is full.
            in_flight: largest number of requests of one call that the server has at once.
        """
        from tritonclient.grpc import InferenceServerClient

        self.url, self.model, self.timeout, self.retries, self.in_flight = url, model, timeout, retries, in_flight
        self._client = InferenceServerClient(url, channel_args=list(wire.CHANNEL))
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
            InputError: ``texts`` is one string, or holds something other than strings.
            RefusedError: the server refuses one of the texts.
            ServerBusyError, ServerTimeoutError, ServerUnavailableError: the server is overloaded, too slow or absent,
                after all retries. Later the call may succeed.
            ServerError: the server failed, or serves another model.
        """
        texts = checked_texts(texts)
        served = self.served()

        def ask(rows: np.ndarray) -> wire.Embeddings:
            asked = wire.inputs([texts[row] for row in rows])
            try:
                result = self._call("infer", inputs=asked, outputs=wire.outputs(), request_id=request_id)
            except RefusedError as error:
                raise wire.refused(error, rows) from None
            return wire.answer(result, len(rows), served.hidden_size)

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
                self._served = wire.ServedModel.of(self._call("get_model_config").config)
            return self._served

    def close(self) -> None:
        """Close the connection. The client cannot be used afterwards."""
        self._client.close()

    def __enter__(self) -> "TritonClient":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _call(self, method: str, **arguments: Any) -> Any:
        """Call a method of tritonclient, with timeout and retries."""
        from tritonclient.utils import InferenceServerException

        attempts = Attempts(self.url, self.model, timeout=self.timeout, retries=self.retries)
        while True:
            try:
                return getattr(self._client, method)(self.model, client_timeout=attempts.seconds(), **arguments)
            except InferenceServerException as failure:
                pause = attempts.pause(failure)
            time.sleep(pause)
