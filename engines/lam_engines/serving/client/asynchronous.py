"""Embeddings from a server, for asyncio."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np

from ...embedding.texts import checked_texts
from . import wire
from .calls import calls_of
from .errors import RefusedError, ServerError
from .grpc import AsyncGrpc, GrpcCalls
from .http import AsyncHttp
from .retries import Attempts

_T = TypeVar("_T")


class AsyncEmbeddingClient:
    """:class:`EmbeddingClient` for one event loop. Make, use and close it in that loop.

    Cancelling a call cancels it at the server too, and its waiting texts are not computed.
    """

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
        """See :class:`EmbeddingClient` for the arguments and errors."""
        calls = calls_of(url, model, timeout, api_key, ca)
        self._connection = AsyncGrpc(calls) if isinstance(calls, GrpcCalls) else AsyncHttp(calls)
        self.url, self.timeout, self.retries, self.in_flight = url, timeout, retries, in_flight
        self._served: wire.ServedModel | None = None

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See :meth:`EmbeddingClient.embed`."""
        return (await self.embed_counted(texts)).vectors

    async def embed_counted(self, texts: Sequence[str], *, request_id: str = "") -> wire.Embeddings:
        """See :meth:`EmbeddingClient.embed_counted`."""
        texts = checked_texts(texts)
        served, slots = await self.served(), asyncio.Semaphore(self.in_flight)

        async def ask(rows: np.ndarray) -> tuple[np.ndarray, wire.Embeddings]:
            part = [texts[row] for row in rows]
            async with slots:
                try:
                    return rows, await self._attempted(
                        lambda s: self._connection.infer(part, request_id, served.hidden_size, s)
                    )
                except RefusedError as error:
                    raise wire.refused(error, rows) from None

        tasks = [asyncio.ensure_future(ask(rows)) for rows in served.parts(texts)]
        try:
            done = await asyncio.gather(*tasks)
        finally:  # after a failure, or when the caller cancels, the other answers are useless
            for task in tasks:
                task.cancel()
        return wire.joined(done, len(texts), served.hidden_size)

    async def served(self) -> wire.ServedModel:
        """See :meth:`EmbeddingClient.served`."""
        if self._served is None:
            self._served = await self._attempted(self._connection.served)
        return self._served

    async def close(self) -> None:
        """Close the connection. The client cannot be used afterwards."""
        await self._connection.close()

    async def __aenter__(self) -> "AsyncEmbeddingClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _attempted(self, call: Callable[[float], Awaitable[_T]]) -> _T:
        """Make a call, with timeout and retries. It is given the seconds that are left."""
        attempts = Attempts(timeout=self.timeout, retries=self.retries)
        while True:
            try:
                return await call(attempts.seconds())
            except ServerError as error:
                pause = attempts.pause(error)
            await asyncio.sleep(pause)
