"""Errors in the shape of OpenAI's API."""

from dataclasses import dataclass
from typing import Any

from ...errors import InputError, LamError
from ..triton.client import RefusedError, ServerBusyError, ServerTimeoutError, ServerUnavailableError

_INVALID, _SERVER = "invalid_request_error", "server_error"


@dataclass
class ApiError(Exception):
    """An answer that is no embedding."""

    status: int
    """Of HTTP."""
    message: str
    type: str = _INVALID
    param: str | None = None
    """The field of the request that is to blame."""
    code: str | None = None
    retry_after: int | None = None
    """Seconds after which it may go well."""

    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def api_error(error: LamError) -> ApiError:
    """What the client learns of a failure between this front and Triton.

    What it cannot mend itself comes without details: those are in the log, under the request's id.
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
    """What took too long; 408: the client's sending, 504: the work."""
    return ApiError(status, "not done in time; send fewer or shorter texts at once", _SERVER, code="timeout")
