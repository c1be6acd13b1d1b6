"""The outermost layer: who may ask, what is refused before it is read, and what is written down of every request."""

import asyncio
import hashlib
import hmac
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import LamError
from .apis import HEALTH
from .errors import SERVER_FAILED, ApiError, stopping
from .metrics import Metrics
from .options import HttpOptions
from .state import Client, State

REQUEST_ID, TRUNCATED, WARNING = b"x-request-id", b"x-lam-truncated", b"x-lam-warning"
GONE = 499
"""Status for a client that has hung up. No client sees it; nginx logs the same."""
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
_JSON = re.compile(r"application/([\w.-]+\+)?json\s*(;.*)?", re.ASCII | re.IGNORECASE)
_log = logging.getLogger(__name__)


class Guard:
    """Checks every request, puts an id in every answer, and gives errors the format of the API that was asked."""

    def __init__(
        self,
        app: ASGIApp,
        options: HttpOptions,
        metrics: Metrics,
        state: State,
        write: Callable[[Mapping[str, Any]], None],
        trace: Callable[[Mapping[str, str], dict[str, Any]], AbstractContextManager[None]],
    ) -> None:
        """Stand before ``app``.

        Args:
            app: answers, or raises :class:`ApiError`.
            options: of the server.
            metrics: of the server.
            state: of the server.
            write: takes what the access log says of a request.
            trace: makes the span of a request, from its headers and its facts.
        """
        self._app, self._options, self._metrics, self._state = app, options, metrics, state
        self._write, self._trace = write, trace
        self._keys = [_digest(key.encode()) for key in options.api_keys]
        self._hosts = {host.lower() for host in options.served_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(REQUEST_ID.decode(), "")
        facts: dict[str, Any] = {
            "id": given if _ID.fullmatch(given) else f"req_{uuid.uuid4().hex}",
            "method": scope["method"],
            "status": GONE,
        }
        scope["state"]["facts"] = facts
        scope["state"]["client"].answering = asyncio.current_task()
        scope["app"] = self  # so that the router raises its 404 and 405
        begun = monotonic()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                facts["status"] = message["status"]
                message = {**message, "headers": [*message["headers"], *self._said(facts)]}
            facts["bytes_out"] = facts.get("bytes_out", 0) + len(message.get("body", b""))
            await send(message)

        with self._trace(headers, facts):
            error = await self._answered(scope, headers, receive, sending)
            if error is not None and facts["status"] == GONE:
                await _refuse(error, scope, sending)
            # The path as the router knows it: a client may put anything into its own.
            facts["path"] = scope["route"].path if "route" in scope else "other"
        facts["seconds"] = monotonic() - begun
        self._metrics.requests.labels(facts["path"], facts["status"]).inc()
        self._metrics.request_seconds.labels(facts["path"]).observe(facts["seconds"])
        self._write(facts)

    async def _answered(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> ApiError | None:
        """Let the app answer. Returns the error to answer with instead."""
        try:
            self._check(scope, headers)
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return None
        except ApiError as error:
            if error.__cause__ is not None:
                _log.error("%s: %s: %s", scope["state"]["facts"]["id"], type(error.__cause__).__name__, error.__cause__)
            return error
        except HTTPException as error:
            allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
            message = f"{error.detail}: {scope['method']} {scope['path'][:100]}"
            return ApiError(
                error.status_code, message + (f"; allowed: {allowed}" if allowed else ""), code="unknown_url"
            )
        except asyncio.CancelledError:
            client: Client = scope["state"]["client"]
            if client.gone or client.error is not None:
                return client.error
            if not self._state.draining:
                raise
            return stopping()
        except LamError as error:
            _log.error("%s: %s", scope["state"]["facts"]["id"], error)
            return ApiError(500, SERVER_FAILED)
        except Exception:
            _log.exception("%s: failed", scope["state"]["facts"]["id"])
            return ApiError(500, SERVER_FAILED)
        return None

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Refuse what must not be read.

        Raises:
            ApiError: 401, 403, 415.
        """
        if scope["path"] in HEALTH:
            return
        host = re.sub(r":\d+$", "", headers.get("host", "").lower())
        if self._hosts and host not in self._hosts:
            raise ApiError(
                403, f"expected a Host that this server knows, found {host[:100]!r}; start it with --allowed-host"
            )
        if self._keys and not self._known(headers):
            raise ApiError(401, "expected an API key in the header Authorization: Bearer KEY", code="invalid_api_key")
        kind = headers.get("content-type", "")
        if scope["method"] == "POST" and not (_JSON.fullmatch(kind) or (not kind and "origin" not in headers)):
            # Browsers send other types to any server without asking it. Only programs send none, and no Origin.
            raise ApiError(415, f"expected Content-Type: application/json, found {kind[:100]!r}")

    def _known(self, headers: Mapping[str, str]) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = _digest((key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")).encode("latin-1"))
        # All are compared, and their hashes: the time does not tell which one is nearly right.
        return sum(hmac.compare_digest(given, known) for known in self._keys) > 0

    def _said(self, facts: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
        found = [(REQUEST_ID, facts["id"].encode())]
        if facts.get("truncated"):
            found.append((TRUNCATED, str(facts["truncated"]).encode()))
        if names := [name if _NAME.fullmatch(name) else "?" for name in facts.get("unknown", ())[:8]]:
            found.append((WARNING, f"unknown fields were ignored: {', '.join(names)}".encode()))
        if self._state.draining:
            found.append((b"connection", b"close"))
        return found


async def _refuse(error: ApiError, scope: Scope, send: Send) -> None:
    body = orjson.dumps(error.body(scope["path"]))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *error.headers]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
