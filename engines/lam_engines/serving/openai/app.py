"""The HTTP application: OpenAI's paths in front of Triton Inference Server."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ...contract import ENSEMBLE
from ...errors import LamError
from ..triton.client import AsyncTritonClient, ServerBusyError
from .errors import ApiError, api_error, timed_out
from .schema import EmbeddingRequest, answer

REQUEST_ID, TRUNCATED = "x-request-id", "x-lam-truncated"
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_HEALTH_TIMEOUT = 10.0
_GONE = 499
"""Status for a client that has hung up. No client sees it; nginx logs the same."""
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """The model that a front serves, and its limits."""

    triton: str = "127.0.0.1:8001"
    """``host:port`` of Triton's gRPC endpoint."""
    ensemble: str = ENSEMBLE
    """Triton's name of the model."""
    model: str = ENSEMBLE
    """Name that clients must ask for."""
    timeout: float = 60.0
    """Seconds that a request may take."""
    max_body: int = 32 << 20
    """Largest size of a request in bytes."""


def create_app(settings: Settings) -> Starlette:
    """The ASGI application. It starts without Triton too, and connects when a request comes."""
    created = int(time.time())
    card = {"id": settings.model, "object": "model", "created": created, "owned_by": "lam-export"}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with AsyncTritonClient(settings.triton, model=settings.ensemble, timeout=settings.timeout) as client:
            yield {"client": client}

    async def embeddings(request: Request) -> Response:
        client: AsyncTritonClient = request.state.client
        asked = EmbeddingRequest.of(await _in_time(_body(request, settings.max_body), settings.timeout, 408))
        _check_model(asked.model, settings.model)
        texts = asked.texts()
        if asked.dimensions is not None:
            asked.check_size((await _in_time(client.served(), settings.timeout)).hidden_size)
        work = client.embed_counted(texts, request_id=request.state.id)
        found = await _unless_gone(request, _in_time(work, settings.timeout))
        # In a thread, because thousands of embeddings take milliseconds to write as JSON.
        body = await asyncio.to_thread(answer, asked, found)
        cut = int(found.truncated.sum())
        return Response(body, media_type="application/json", headers={TRUNCATED: str(cut)} if cut else None)

    async def models(request: Request) -> Response:
        return _json({"object": "list", "data": [card]})

    async def model(request: Request) -> Response:
        _check_model(request.path_params["name"], settings.model)
        return _json(card)

    async def health(request: Request) -> Response:
        # A new text each time, so that no cache answers.
        text = f"health {time.time_ns()}"
        try:
            await _in_time(request.state.client.embed([text]), _HEALTH_TIMEOUT)
        except ServerBusyError:
            return _json({"status": "busy"})  # a server with a full queue works
        return _json({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/embeddings", _with_id(embeddings), methods=["POST"]),
            Route("/v1/models", _with_id(models)),
            Route("/v1/models/{name:path}", _with_id(model)),
            Route("/health", _with_id(health)),
        ],
        exception_handlers={HTTPException: _not_served},
        lifespan=lifespan,
    )


Endpoint = Callable[[Request], Awaitable[Response]]


def _with_id(endpoint: Endpoint) -> Endpoint:
    """Put the request's id in every answer, give errors OpenAI's format, and log the server's own errors."""

    async def run(request: Request) -> Response:
        request.state.id = _id_of(request)
        try:
            response = await endpoint(request)
        except ClientDisconnect:
            response = Response(status_code=_GONE)
        except ApiError as error:
            response = _error(error)
        except LamError as error:
            response = _error(api_error(error))
            if response.status_code >= 500:
                _log.error("%s: %s", request.state.id, error)
        except Exception:
            _log.exception("%s: failed", request.state.id)
            response = _error(ApiError(500, "the server failed; its log says why", "server_error"))
        response.headers[REQUEST_ID] = request.state.id
        return response

    return run


async def _not_served(request: Request, error: Exception) -> Response:
    """404 and 405 in OpenAI's error format."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for this class
    message = f"{error.detail}: {request.method} {request.url.path}"
    response = _error(ApiError(error.status_code, message, code="unknown_url"))
    response.headers.update({**(error.headers or {}), REQUEST_ID: _id_of(request)})
    return response


def _id_of(request: Request) -> str:
    given = request.headers.get(REQUEST_ID, "")
    return given if _ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"


def _check_model(asked: str, served: str) -> None:
    if asked != served:
        message = f"expected the model {served!r}, found {asked[:100]!r}"
        raise ApiError(404, message, param="model", code="model_not_found")


async def _body(request: Request, limit: int) -> bytes:
    """A request's body. Hardly more than ``limit`` bytes are ever held."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise ApiError(413, f"expected a body of at most {limit} bytes, found more; send fewer texts at once")
        chunks.append(chunk)
    return b"".join(chunks)


async def _in_time(work: Coroutine[Any, Any, _T], seconds: float, status: int = 504) -> _T:
    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError:
        raise timed_out(status) from None


async def _unless_gone(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Wait for the work. Cancel it if the client hangs up or the server must stop."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ClientDisconnect
        return tasks[0].result()  # type: ignore[return-value]
    finally:
        for task in tasks:
            task.cancel()


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _error(error: ApiError) -> Response:
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return Response(orjson.dumps(error.body()), error.status, headers, media_type="application/json")
