"""Embeddings from Triton Inference Server, for code without asyncio."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ....embedding.engine import checked_texts
from . import wire
from .errors import RefusedError
from .retries import Attempts


class TritonClient:
    """Asks a server that serves a repository of ``lam-export triton``. May be used by several threads at once."""

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        model: str = "lam_embed",
        timeout: float = 60.0,
        retries: int = 10,
        in_flight: int = 4,
    ) -> None:
        """Nothing is sent before the first call.

        Args:
            url: ``host:port`` of the server's gRPC endpoint.
            model: the ensemble.
            timeout: seconds for each batch, retries included.
            retries: how many times at most a batch is sent again that found no server, or a full queue.
            in_flight: batches of one call that the server has at once.
        """
        from tritonclient.grpc import InferenceServerClient

        self.url, self.model, self.timeout, self.retries, self.in_flight = url, model, timeout, retries, in_flight
        self._client = InferenceServerClient(url, channel_args=list(wire.CHANNEL))
        self._served: wire.ServedModel | None = None
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """As an engine's ``embed``: ``[len(texts), hidden]`` float32. Errors as for :meth:`embed_counted`."""
        return self.embed_counted(texts).vectors

    def embed_counted(self, texts: Sequence[str], *, request_id: str = "") -> wire.Embeddings:
        """Embed texts in any number, and say of each how many tokens it had and whether it was cut.

        Args:
            texts: any Unicode; the server's policy says how long.
            request_id: for the server's log.

        Raises:
            InputError: ``texts`` is one string, or holds something that is none.
            RefusedError: the server does not take one of the texts.
            ServerBusyError, ServerTimeoutError, ServerUnavailableError: passing, or still so after all retries.
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
            except BaseException:  # the first failure, or Ctrl-C: what is not sent yet is not sent
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return wire.joined(done, len(texts), served.hidden_size)

    def served(self) -> wire.ServedModel:
        """What the server says of the model; asked once. Errors as for :meth:`embed_counted`."""
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
        """One of the client's methods, with timeout and retries."""
        from tritonclient.utils import InferenceServerException

        attempts = Attempts(self.url, self.model, timeout=self.timeout, retries=self.retries)
        while True:
            try:
                return getattr(self._client, method)(self.model, client_timeout=attempts.seconds(), **arguments)
            except InferenceServerException as failure:
                pause = attempts.pause(failure)
            time.sleep(pause)
