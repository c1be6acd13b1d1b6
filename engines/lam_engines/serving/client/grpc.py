"""Triton's gRPC endpoint."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...contract import SENTENCE_EMBEDDING, TEXT
from ...embedding.texts import without_surrogates
from .errors import from_status
from .wire import OUTPUTS, Embeddings, ServedModel, checked, no_encoder

CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # By default gRPC's pause between attempts to connect grows to two minutes. Calls in that pause fail at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class GrpcCalls:
    """The calls to one server. With ``asynchronous``, each returns a coroutine."""

    def __init__(self, url: str, model: str, timeout: float, key: str | None, ca: str | None) -> None:
        """See :class:`.sync.EmbeddingClient`; ``url`` begins with ``grpc://`` or ``grpcs://``."""
        scheme, _, self.place = url.rpartition("://")
        self._secure, self._ca = scheme == "grpcs", ca
        self.model, self._timeout = model, timeout
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}

    def connected(self, kind: Any) -> Any:
        """A client of tritonclient."""
        return kind(self.place, ssl=self._secure, root_certificates=self._ca, channel_args=list(CHANNEL))

    def arguments(self, seconds: float) -> dict[str, Any]:
        """Of every call."""
        return {"client_timeout": seconds, "headers": self._headers}

    def inputs(self, texts: Sequence[str], request_id: str) -> dict[str, Any]:
        """The arguments that ask for embeddings."""
        from tritonclient.grpc import InferInput, InferRequestedOutput

        content = np.array([without_surrogates(text).encode() for text in texts], dtype=object)
        tensor = InferInput(TEXT, [len(texts), 1], "BYTES")
        tensor.set_data_from_numpy(content[:, None])
        return {
            "inputs": [tensor],
            "outputs": [InferRequestedOutput(name) for name in OUTPUTS],
            "request_id": request_id,
        }

    def answer(self, result: Any, count: int, hidden: int) -> Embeddings:
        """See :func:`.wire.checked`."""
        vectors, tokens, cut = (result.as_numpy(name) for name in OUTPUTS)
        return checked(vectors, tokens, cut, hidden, count)

    def served(self, config: Any) -> ServedModel:
        """Read the server's ``ModelConfig``.

        Raises:
            ServerError: the model is of another kind.
        """
        inputs = {tensor.name for tensor in config.input}
        sizes = {tensor.name: list(tensor.dims) for tensor in config.output}
        if inputs != {TEXT} or not {*OUTPUTS} <= set(sizes):
            raise no_encoder(config.name, inputs, sizes)
        return ServedModel(max(1, config.max_batch_size), sizes[SENTENCE_EMBEDDING][-1])

    def error(self, failure: Any) -> Exception:
        """The error of a failed call."""
        return from_status(failure.status(), failure.message() or "", self.place, self.model, self._timeout)


class Grpc:
    """A connection for code without asyncio."""

    def __init__(self, calls: GrpcCalls) -> None:
        from tritonclient.grpc import InferenceServerClient

        self._calls, self._client = calls, calls.connected(InferenceServerClient)

    def served(self, seconds: float) -> ServedModel:
        return self._calls.served(self._call("get_model_config", seconds).config)

    def infer(self, texts: Sequence[str], request_id: str, hidden: int, seconds: float) -> Embeddings:
        found = self._call("infer", seconds, **self._calls.inputs(texts, request_id))
        return self._calls.answer(found, len(texts), hidden)

    def close(self) -> None:
        self._client.close()

    def _call(self, method: str, seconds: float, **arguments: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return getattr(self._client, method)(self._calls.model, **self._calls.arguments(seconds), **arguments)
        except InferenceServerException as failure:
            raise self._calls.error(failure) from None


class AsyncGrpc:
    """A connection for asyncio."""

    def __init__(self, calls: GrpcCalls) -> None:
        from tritonclient.grpc.aio import InferenceServerClient

        self._calls, self._client = calls, calls.connected(InferenceServerClient)

    async def served(self, seconds: float) -> ServedModel:
        return self._calls.served((await self._call("get_model_config", seconds)).config)

    async def infer(self, texts: Sequence[str], request_id: str, hidden: int, seconds: float) -> Embeddings:
        found = await self._call("infer", seconds, **self._calls.inputs(texts, request_id))
        return self._calls.answer(found, len(texts), hidden)

    async def close(self) -> None:
        await self._client.close()

    async def _call(self, method: str, seconds: float, **arguments: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return await getattr(self._client, method)(self._calls.model, **self._calls.arguments(seconds), **arguments)
        except InferenceServerException as failure:
            raise self._calls.error(failure) from None
