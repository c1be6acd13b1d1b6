"""Errors between a client and a server, by what helps against them."""

from ...errors import EngineError

_BUSY = ("maximum queue size", "timeout expired")
"""Triton's words for a full queue, and for a request that has waited too long in a queue. The status does not tell: it
is UNAVAILABLE, as if there were no server."""


class ServerError(EngineError):
    """The server answered with an error, or with something other than embeddings."""

    retry_after: float = 0.0
    """Seconds after which the server wants to be asked again; 0: it does not say."""


class ServerUnavailableError(ServerError):
    """No server, or no model, answers at that address. It may still be starting."""


class ServerBusyError(ServerError):
    """The server has too much to do. Later it may have less."""


class ServerTimeoutError(ServerError):
    """The server did not answer in time."""


class RefusedError(ServerError, ValueError):
    """The server refuses a text, for instance because it is too long."""


def from_status(status: str | None, message: str, url: str, model: str, timeout: float) -> ServerError:
    """The error of a failed call.

    Args:
        status: gRPC's status in tritonclient's form, such as ``StatusCode.UNAVAILABLE``.
        message: the server's or gRPC's own words.
        url: ``host:port`` of the server.
        model: name of the model.
        timeout: seconds that the call was allowed.
    """
    code = (status or "").rpartition(".")[2]
    said = " ".join(message.split())[:500]
    if code == "UNAVAILABLE" and any(words in said for words in _BUSY):
        return ServerBusyError(f"{model} at {url} has too much to do ({said}); send less at once, or try again later")
    if code == "UNAVAILABLE":
        return ServerUnavailableError(
            f"expected Triton Inference Server with the model {model} at {url}, found none that answers ({said}); "
            f"start it: lam-export serve BUNDLE --triton"
        )
    if code == "DEADLINE_EXCEEDED":
        return ServerTimeoutError(
            f"{model} at {url} gave no answer within {timeout:g} s; send fewer or shorter texts at once, or allow more "
            f"time: timeout="
        )
    if code == "INVALID_ARGUMENT":
        own = said.removeprefix(f"in ensemble '{model}', ")
        return RefusedError(f"{model} refuses the texts: {own}")
    if code == "NOT_FOUND":
        return ServerError(f"expected the model {model} at {url}, found a server without it ({said}); name another")
    if code == "RESOURCE_EXHAUSTED":
        return ServerError(f"{model} at {url} has no room for this request ({said}); send fewer or shorter texts")
    return ServerError(f"{model} at {url} failed ({code or 'no status'}: {said}); its log says why")


def from_http(status: int, message: str, retry_after: str, url: str, model: str, timeout: float) -> ServerError:
    """The error of an HTTP answer.

    Args:
        status: of HTTP.
        message: the server's own words.
        retry_after: the header; empty if there is none.
        url: of the server.
        model: name of the model.
        timeout: seconds that the call was allowed.
    """
    said = " ".join(message.split())[:500]
    error: ServerError
    if status == 429 or (status == 503 and any(words in said for words in _BUSY)):
        error = ServerBusyError(f"{model} at {url} has too much to do ({said}); send less at once, or try again later")
    elif status in (502, 503):
        error = unavailable(url, said)
    elif status in (408, 504):
        error = from_status("StatusCode.DEADLINE_EXCEEDED", said, url, model, timeout)
    elif status in (400, 413, 422):
        error = RefusedError(f"{model} refuses the texts: {said}")
    elif status in (401, 403):
        error = ServerError(f"{url} does not let this client in ({said}); give its key: api_key=")
    elif status == 404:
        error = from_status("StatusCode.NOT_FOUND", said, url, model, timeout)
    else:
        error = ServerError(f"{model} at {url} failed (HTTP {status}: {said}); its log says why")
    error.retry_after = min(60.0, float(retry_after)) if retry_after.isdigit() else 0.0
    return error


def unavailable(url: str, said: str) -> ServerUnavailableError:
    """The error where nothing answers over HTTP."""
    return ServerUnavailableError(
        f"expected a server at {url}, found none that answers ({said[:200]}); start it: lam-export serve BUNDLE"
    )
