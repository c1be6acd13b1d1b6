"""HTTP/1.1 on a connection: uvicorn's and llhttp's, with limits on time and size."""

import asyncio
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .errors import ApiError
from .options import HttpOptions
from .state import Client

MAX_HEAD = 32 << 10
"""Largest size of a request's line and headers in bytes."""
_PIECES, _PIECE = 10_000, 64
"""A body in more pieces than this, of fewer bytes than this on average, is refused: each costs as much as a request."""
_AHEAD = 16
"""Requests that may wait behind another one of their connection (pipelining)."""
_READ_BYTES = 64 << 10
"""Bytes that are parsed at once, so that other connections are served in between."""
_WRITE_SECONDS = 30.0
"""Seconds in which a client must read something of its answer."""
_HEAD, _BODY, _NOTHING = "head", "body", "nothing"


def protocol_of(options: HttpOptions) -> type[HttpToolsProtocol]:
    """The class of a server's connections."""

    class Protocol(_LimitedProtocol):
        limits = options

    return Protocol


class _Together:
    """A transport that sends an answer's head with its body: one system call, and one packet."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._head = transport, b""

    def write(self, data: bytes) -> None:
        if self._head or not data.startswith(b"HTTP/1.1 ") or data.startswith(b"HTTP/1.1 100"):
            data, self._head = self._head + data, b""
            self._transport.write(data)
        else:
            self._head = data

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _LimitedProtocol(HttpToolsProtocol):
    """Closes connections on which a request does not arrive, or an answer is not read.

    llhttp finds where a request ends. What it leaves open is refused here: two hosts, two ways to tell a length, other
    versions. Two programs could take such a request for different ones.
    """

    limits: HttpOptions

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._client = Client()
        self._awaited = _HEAD
        """What must come next."""
        self._broken = False
        """Whether nothing is read any more."""
        self._head = self._pieces = self._size = 0
        self._quiet = 0
        """Bytes since the parser last found something. It holds them."""
        self._arriving: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._unread = 0

    # The transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            transport.abort()
            return
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]
        self._together = _Together(transport)
        self._watch_arriving()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._broken:
            return
        self._quiet += len(data)
        try:
            self.parser.feed_data(data)
            if self._quiet > MAX_HEAD:
                raise _too_large()
        except httptools.HttpParserUpgrade:  # what follows may be of another protocol
            self.cycle.keep_alive = False
            self._broken = True
        except httptools.HttpParserError as error:
            found = error.__context__
            self._refuse(found if isinstance(found, ApiError) else _no_http(str(error)))
        except ApiError as error:
            self._refuse(error)
        if self._awaited != _NOTHING and self._arriving is None and not self._broken:
            self._watch_arriving()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        if self._writing is not None:
            self._writing.cancel()
        super().connection_lost(exc)
        self._client.cancel(None)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        super().resume_writing()

    # The parser

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _AHEAD:
            raise _no_http("too many requests before the first answer")
        super().on_message_begin()
        self.scope["state"]["client"] = self._client
        self._awaited = _HEAD
        self._head = self._quiet = self._pieces = self._size = 0

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        if self._awaited == _HEAD:  # trailers are left out
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        named = [name for name, _ in self.headers]
        encodings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version not in ("1.0", "1.1") or self.url[:1] != b"/":
            raise _no_http(f"HTTP/{version}, or no path")
        if named.count(b"host") != 1 and (version == "1.1" or b"host" in named):
            raise _no_http(f"{named.count(b'host')} headers Host")
        if encodings and (encodings != [b"chunked"] or version == "1.0"):
            raise _no_http("another Transfer-Encoding than chunked")
        self._expect_nothing()
        self._awaited, self._quiet = _BODY, 0
        super().on_headers_complete()
        self.cycle.transport = self._together  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        self._quiet = 0
        self._pieces += 1
        self._size += len(body)
        if self._pieces > _PIECES and self._size < _PIECE * self._pieces:
            raise _no_http("too many small pieces")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._expect_nothing()
        self._awaited, self._quiet = _NOTHING, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._together.flush()  # an answer without a body
        super().on_response_complete()

    # Limits

    def _count_head(self, size: int) -> None:
        self._quiet = 0
        self._head += size
        if self._head > MAX_HEAD:
            raise _too_large()

    def _refuse(self, error: ApiError) -> None:
        """Answer what is no request, after those before it; then close."""
        self._broken = True
        self._expect_nothing()
        if self._busy and not self.cycle.more_body:
            self.cycle.keep_alive = False
        elif self.pipeline or (self._awaited == _BODY and self.cycle.response_started):
            self.transport.close()
        else:
            body = orjson.dumps(error.body(""))
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[error.status] + head + body)
            self.transport.close()

    @property
    def _busy(self) -> bool:
        """Whether the latest request is not answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _watch_arriving(self) -> None:
        seconds = self.limits.read_timeout
        self._arriving = self.loop.call_later(seconds if self._awaited == _HEAD else 3 * seconds, self._late)

    def _late(self) -> None:
        self._arriving = None
        if self.pipeline or (self._awaited == _HEAD and self._busy):  # requests before it are being answered
            self._watch_arriving()
        elif self._busy:
            message = f"expected the whole body within {3 * self.limits.read_timeout:.0f} s"
            self._client.cancel(ApiError(408, message, code="timeout", close=True))
        else:
            self.transport.abort()

    def _expect_nothing(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _watch_writing(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if self._writing is not None and unread >= self._unread:
            self.transport.abort()
            return
        self._unread = unread
        self._writing = self.loop.call_later(_WRITE_SECONDS, self._watch_writing)


def _no_http(found: str) -> ApiError:
    if "Content-Length" in found and "Transfer-Encoding" in found:
        # A proxy may read one of them and this server the other: the body would be a second request.
        return ApiError(400, "expected Content-Length or Transfer-Encoding, found both", close=True)
    return ApiError(400, f"expected a request of HTTP/1.1, found something else: {found}", close=True)


def _too_large() -> ApiError:
    return _no_http(f"more than {MAX_HEAD:,} bytes before the body")
