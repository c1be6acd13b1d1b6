"""Requests' bodies: read within limits, and decoded without building what is not asked for."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from .errors import ApiError
from .options import MAX_TEXTS, HttpOptions

_T = TypeVar("_T")
_ON_THE_WAY = 4
"""Bodies of the largest size that are held at once."""
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""An escape in JSON; group 1: a surrogate that belongs to no pair."""
_FIELD = re.compile(r"`\$\.?([^`]*)`")
_UNKNOWN_UNTIL = 1 << 20
"""Unknown fields are looked for in bodies up to this size."""


class Bodies:
    """The bodies that one server holds now."""

    def __init__(self, options: HttpOptions) -> None:
        self._most = options.max_body
        self._held = 0

    async def decoded(self, request: Request, kind: type[_T]) -> _T:
        """A request's JSON as a ``msgspec.Struct``.

        The names of unknown fields are kept in ``request.state.facts``. A lone surrogate becomes U+FFFD.

        Raises:
            ApiError: 400: no JSON, or other fields; 413: it is too large; 429: too many large bodies are on their way.
            ClientDisconnect: the client has gone.
        """
        with self._counted() as take:
            body = await _read(request, take)
            request.state.facts["bytes_in"] = len(body)
            found, unknown = await asyncio.to_thread(decode, body, kind) if len(body) > 1 << 16 else decode(body, kind)
        if unknown:
            request.state.facts["unknown"] = unknown
        return found

    @contextmanager
    def _counted(self) -> Iterator[Callable[[int], None]]:
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            mine += size
            self._held += size
            if mine > self._most:
                raise ApiError(413, f"expected a body of at most {self._most:,} bytes, found more; send fewer texts")
            if self._held > _ON_THE_WAY * self._most:
                raise ApiError(429, "too many large requests are on their way; try again later", retry_after=1)

        try:
            yield take
        finally:
            self._held -= mine


async def _read(request: Request, take: Callable[[int], None]) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdigit():
        take(int(length))  # a body that is too large is refused before it comes
    chunks = []
    async for chunk in request.stream():
        if not length:
            take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def decode(body: bytes, kind: type[_T]) -> tuple[_T, list[str]]:
    """JSON as a ``msgspec.Struct``, and the names of unknown fields. A lone surrogate becomes U+FFFD.

    Raises:
        ApiError: 400; no JSON, or other fields.
    """
    try:
        try:
            found = msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if isinstance(error, msgspec.ValidationError) or b"\\u" not in body:
                raise
            body = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)
            found = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"expected JSON in UTF-8, found something else: {str(error)[:200]}") from None
    known: set[str] = set(found.__struct_fields__)  # type: ignore[attr-defined]
    if len(body) > _UNKNOWN_UNTIL:
        return found, []
    return found, [name for name in msgspec.json.decode(body, type=dict[str, msgspec.Raw]) if name not in known]


def _invalid(message: str) -> ApiError:
    place = _FIELD.search(message)
    field = place[1] if place else ""
    name = field.partition("[")[0]
    if name in ("input", "inputs") and re.search("got `(int|array)`$", message.partition(" - ")[0]) and "[" in field:
        return ApiError(
            400,
            f"{name}: expected text, found token ids, which belong to another tokenizer than this model's; send the "
            f"text itself (langchain_openai: check_embedding_ctx_length=False)",
            param=name,
            code="token_ids_not_supported",
        )
    missing = re.search(r"required field `(\w+)`", message)
    return ApiError(400, f"{field or 'body'}: {message[:300]}", param=missing[1] if missing else name[:100] or None)


def listed(texts: str | list[str], name: str) -> list[str]:
    """The texts of a field that holds one or several.

    Raises:
        ApiError: 400; there is none, or there are too many.
    """
    several = [texts] if isinstance(texts, str) else texts
    if not 1 <= len(several) <= MAX_TEXTS:
        raise ApiError(400, f"{name}: expected 1 to {MAX_TEXTS} texts, found {len(several)}", param=name)
    return several


def check_dimensions(asked: int | None, hidden: int) -> None:
    """Refuse to shorten embeddings.

    Raises:
        ApiError: 400; ``dimensions`` is not the model's size.
    """
    if asked not in (None, hidden):
        raise ApiError(
            400,
            f"dimensions: expected {hidden}, or none, found {asked}; embeddings of this model cannot be shortened",
            param="dimensions",
        )


def json_response(content: Any, status: int = 200) -> Response:
    """JSON in UTF-8; numpy arrays are lists."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type="application/json")
