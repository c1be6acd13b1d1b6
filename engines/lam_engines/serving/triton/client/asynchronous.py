"""Embeddings from Triton Inference Server, for asyncio."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....contract import ENSEMBLE
from ....embedding.texts import checked_texts
from . import wire
from .errors import RefusedError
from .retries import Attempts


class AsyncTritonClient:
    """:class:`TritonClient` for one event loop. Make, use and close it in that loop.

    Cancelling a call cancels it at the server too, and its waiting requests are not computed.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        model: str = ENSEMBLE,
        timeout: float = 60.0,
        retries: int = 10,
        in_flight: int = 4,
    ) -> None:
        """See :class:`TritonClient` for the arguments."""
        from tritonclient.grpc.aio import InferenceServerClient

        self.url, self.model, self.timeout, self.retries, self.in_flight = url, model, timeout, retries, in_flight
        self._client = InferenceServerClient(url, channel_args=list(wire.CHANNEL))
        self._served: wire.ServedModel | None = None

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See :meth:`TritonClient.embed`."""
        return (await self.embed_counted(texts)).vectors

    async def embed_counted(self, texts: Sequence[str], *, request_id: str = "") -> wire.Embeddings:
        """See :meth:`TritonClient.embed_counted`."""
        texts = checked_texts(texts)
        served, slots = await self.served(), asyncio.Semaphore(self.in_flight)

        async def ask(rows: np.ndarray) -> tuple[np.ndarray, wire.Embeddings]:
            async with slots:
                asked = wire.inputs([texts[row] for row in rows])
                try:
                    result = await self._call("infer", inputs=asked, outputs=wire.outputs(), request_id=request_id)
                except RefusedError as error:
                    raise wire.refused(error, rows) from None
            return rows, wire.answer(result, len(rows), served.hidden_size)

        tasks = [asyncio.ensure_future(ask(rows)) for rows in served.parts(texts)]
        try:
            done = await asyncio.gather(*tasks)
        finally:  # after a failure, or when the caller cancels, the other answers are useless
            for task in tasks:
                task.cancel()
        return wire.joined(done, len(texts), served.hidden_size)

    async def served(self) -> wire.ServedModel:
        """See :meth:`TritonClient.served`."""
        if self._served is None:
            self._served = wire.ServedModel.of((await self._call("get_model_config")).config)
        return self._served

    async def close(self) -> None:
        """Close the connection. The client cannot be used afterwards."""
        await self._client.close()

    async def __aenter__(self) -> "AsyncTritonClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _call(self, method: str, **arguments: Any) -> Any:
        """Call a method of tritonclient, with timeout and retries."""
        from tritonclient.utils import InferenceServerException

        attempts = Attempts(self.url, self.model, timeout=self.timeout, retries=self.retries)
        while True:
            try:
                return await getattr(self._client, method)(self.model, client_timeout=attempts.seconds(), **arguments)
            except InferenceServerException as failure:
                pause = attempts.pause(failure)
            await asyncio.sleep(pause)
