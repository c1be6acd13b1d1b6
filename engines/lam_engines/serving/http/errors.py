"""Errors in the format of the API that was asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass
class ApiError(Exception):
    """An answer with an error instead of embeddings."""

    status: int
    """HTTP status."""
    message: str
    param: str | None = None
    """Field of the request that is wrong."""
    code: str | None = None
    """The error's name for programs, as OpenAI's clients know it."""
    retry_after: int | None = None
    """Seconds after which the client should try again."""
    close: bool = False
    """Whether the connection must not be used again."""

    def body(self, path: str) -> dict[str, Any]:
        """The answer's JSON, as clients of this path's API read it. A missing key is OpenAI's error everywhere."""
        if path.startswith("/v2") and self.status != 401:
            return {"error": self.message}
        if path in TEI_PATHS and self.status != 401:
            kinds = {413: "validation", 422: "tokenizer", 429: "overloaded", 503: "unhealthy"}
            kind = kinds.get(self.status, "validation" if self.status < 500 else "backend")
            return {"error": self.message, "error_type": kind}
        kind = "server_error" if self.status >= 500 else _KINDS.get(self.status, "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that say more about it."""
        headers = []
        if self.retry_after is not None:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.close:
            headers.append((b"connection", b"close"))
        return headers


TEI_PATHS = ("/", "/embed", "/tokenize", "/info")
"""Paths of text-embeddings-inference's API."""
_KINDS = {401: "authentication_error", 429: "rate_limit_error"}
SERVER_FAILED = "the server failed; its log says why, under the request's id"


def overloaded(seconds: float) -> ApiError:
    """The answer to a request that would wait too long: the texts before it take so many seconds."""
    return ApiError(
        429,
        f"the texts that wait take {seconds:.0f} s, which is too long; try again later",
        code="server_overloaded",
        retry_after=max(1, min(60, round(seconds / 2))),
    )


def no_model(asked: str, known: Iterable[str]) -> ApiError:
    """The answer to a request for a model that is not here."""
    message = f"expected the model {' or '.join(map(repr, known))}, found {asked[:100]!r}"
    return ApiError(404, message, param="model", code="model_not_found")


def stopping() -> ApiError:
    """The answer to a request that the stopping server can no longer compute."""
    return ApiError(503, "the server is being stopped; try again", code="server_stopping", retry_after=1, close=True)
