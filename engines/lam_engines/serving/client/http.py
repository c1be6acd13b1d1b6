"""KServe's REST protocol, version 2: the own server's, and that of Triton's HTTP port."""

import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from ...contract import SENTENCE_EMBEDDING, TEXT
from ...embedding.texts import without_surrogates
from .errors import ServerError, from_http, from_status, unavailable
from .wire import OUTPUTS, Embeddings, ServedModel, checked, no_encoder

_MAX_BATCH = 64
"""Texts in a request where the server does not say more: what Triton takes."""


class HttpCalls:
    """The calls to one server: their paths, bodies and answers."""

    def __init__(self, url: str, model: str | None, timeout: float, key: str | None, ca: str | None) -> None:
        """See :class:`.sync.EmbeddingClient`; ``url`` begins with ``http://`` or ``https://``."""
        self.url, self.model, self._timeout = url.rstrip("/"), model, timeout
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._ca = ca

    def connected(self, kind: Any) -> Any:
        """A client of httpx. Redirects are not followed: a key must not go elsewhere."""
        verify: Any = True if self._ca is None else ssl.create_default_context(cafile=self._ca)
        return kind(base_url=self.url, headers=self._headers, verify=verify)

    @property
    def _path(self) -> str:
        return f"/v2/models/{quote(self.model or '', safe='')}"

    def about_models(self) -> dict[str, Any]:
        return {"method": "GET", "url": "/v1/models"}

    def about_model(self) -> dict[str, Any]:
        return {"method": "GET", "url": self._path}

    def embeddings(self, texts: Sequence[str], request_id: str) -> dict[str, Any]:
        content = [without_surrogates(text) for text in texts]
        tensor = {"name": TEXT, "shape": [len(content), 1], "datatype": "BYTES", "data": content}
        headers = {"x-request-id": request_id} if request_id else {}
        body = {"inputs": [tensor], "outputs": [{"name": name} for name in OUTPUTS]}
        return {"method": "POST", "url": f"{self._path}/infer", "json": body, "headers": headers}

    def first_model(self, answer: Any) -> str:
        return str(self.content(answer)["data"][0]["id"])

    def served(self, answer: Any) -> ServedModel:
        """Read what the server says of the model.

        Raises:
            ServerError: the model is of another kind.
        """
        said = self.content(answer)
        inputs = {tensor["name"] for tensor in said["inputs"]}
        sizes = {tensor["name"]: tensor["shape"] for tensor in said["outputs"]}
        if inputs != {TEXT} or not {*OUTPUTS} <= set(sizes):
            raise no_encoder(said["name"], inputs, sizes)
        return ServedModel(said.get("max_batch_size", _MAX_BATCH), int(sizes[SENTENCE_EMBEDDING][-1]))

    def answer(self, answer: Any, count: int, hidden: int) -> Embeddings:
        """See :func:`.wire.checked`."""
        found = {
            tensor["name"]: np.array(tensor["data"]).reshape(tensor["shape"])
            for tensor in self.content(answer)["outputs"]
        }
        vectors, tokens, cut = (found.get(name) for name in OUTPUTS)
        return checked(vectors, tokens, cut, hidden, count)

    def content(self, answer: Any) -> Any:
        """The JSON of an answer.

        Raises:
            ServerError: the answer is an error.
        """
        if answer.status_code != 200:
            after = answer.headers.get("retry-after", "")
            raise from_http(
                answer.status_code, _said(answer), after, self.url, self.model or "the model", self._timeout
            )
        try:
            return answer.json()
        except ValueError:
            raise ServerError(
                f"expected JSON from {self.url}, found {answer.text[:100]!r}; is it this server?"
            ) from None

    def error(self, failure: Exception) -> ServerError:
        """The error of a call without an answer."""
        import httpx

        if isinstance(failure, httpx.TimeoutException):
            return from_status("DEADLINE_EXCEEDED", "", self.url, self.model or "the model", self._timeout)
        return unavailable(self.url, str(failure) or type(failure).__name__)


class Http:
    """A connection for code without asyncio."""

    def __init__(self, calls: HttpCalls) -> None:
        import httpx

        self._calls, self._client = calls, calls.connected(httpx.Client)

    def served(self, seconds: float) -> ServedModel:
        if self._calls.model is None:
            self._calls.model = self._calls.first_model(self._call(seconds, **self._calls.about_models()))
        return self._calls.served(self._call(seconds, **self._calls.about_model()))

    def infer(self, texts: Sequence[str], request_id: str, hidden: int, seconds: float) -> Embeddings:
        found = self._call(seconds, **self._calls.embeddings(texts, request_id))
        return self._calls.answer(found, len(texts), hidden)

    def close(self) -> None:
        self._client.close()

    def _call(self, seconds: float, **arguments: Any) -> Any:
        import httpx

        try:
            return self._client.request(timeout=seconds, **arguments)
        except httpx.HTTPError as failure:
            raise self._calls.error(failure) from None


class AsyncHttp:
    """A connection for asyncio."""

    def __init__(self, calls: HttpCalls) -> None:
        import httpx

        self._calls, self._client = calls, calls.connected(httpx.AsyncClient)

    async def served(self, seconds: float) -> ServedModel:
        if self._calls.model is None:
            self._calls.model = self._calls.first_model(await self._call(seconds, **self._calls.about_models()))
        return self._calls.served(await self._call(seconds, **self._calls.about_model()))

    async def infer(self, texts: Sequence[str], request_id: str, hidden: int, seconds: float) -> Embeddings:
        found = await self._call(seconds, **self._calls.embeddings(texts, request_id))
        return self._calls.answer(found, len(texts), hidden)

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(self, seconds: float, **arguments: Any) -> Any:
        import httpx

        try:
            return await self._client.request(timeout=seconds, **arguments)
        except httpx.HTTPError as failure:
            raise self._calls.error(failure) from None


def _said(answer: Any) -> str:
    """The message of an error in any of the server's formats."""
    try:
        error = answer.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return str(answer.text)[:200]
