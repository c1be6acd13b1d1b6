"""Errors in the format of OpenAI's API."""

from dataclasses import dataclass
from typing import Any

from ...errors import InputError, LamError
from ..triton.client import RefusedError, ServerBusyError, ServerTimeoutError, ServerUnavailableError

_INVALID, _SERVER = "invalid_request_error", "server_error"


@dataclass
class ApiError(Exception):
    """An answer with an error instead of embeddings."""

    status: int
    """HTTP status."""
    message: str
    type: str = _INVALID
    param: str | None = None
    """Field of the request that is wrong."""
    code: str | None = None
    retry_after: int | None = None
    """Seconds after which the client should try again."""

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def api_error(error: LamError) -> ApiError:
    """The answer to a failure between this front and Triton.

    A failure that the client cannot mend comes without details. These are in the log, under the request's id.
    """
    if isinstance(error, RefusedError | InputError):
        return ApiError(400, str(error), param="input")
    if isinstance(error, ServerBusyError):
        return ApiError(503, "too many requests at once; try again", _SERVER, code="server_overloaded", retry_after=1)
    if isinstance(error, ServerUnavailableError):
        return ApiError(
            503, "the model does not answer now; try again", _SERVER, code="server_unavailable", retry_after=5
        )
    if isinstance(error, ServerTimeoutError):
        return timed_out(504)
    return ApiError(500, "the server failed; its log says why", _SERVER)


def timed_out(status: int) -> ApiError:
    """The answer to a request that took too long; 408: to arrive, 504: to be computed."""
    return ApiError(status, "not done in time; send fewer or shorter texts at once", _SERVER, code="timeout")
