"""HTTP/1.1 on a connection: uvicorn's and h11's, with limits on time and size."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .options import HttpOptions

MAX_HEAD = 32 << 10
"""Largest size of a request's line and headers in bytes."""
_PIECES, _PIECE = 10_000, 64
"""A body in more pieces than this, of fewer bytes than this on average, is refused: each costs as much as a request."""
_READ_BYTES = 64 << 10
"""Bytes that are parsed at once, so that other connections are served in between."""
_WRITE_SECONDS = 30.0
"""Seconds in which a client must read something of its answer."""


def protocol_of(options: HttpOptions) -> type[H11Protocol]:
    """The class of a server's connections."""

    class Protocol(_LimitedProtocol):
        limits = options

    return Protocol


class _LimitedProtocol(H11Protocol):
    """Closes connections on which a request does not arrive, or an answer is not read."""

    limits: HttpOptions

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _LimitedConnection(h11.SERVER, MAX_HEAD)
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            transport.abort()
            return
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._reading is None and not self._busy:
            self._expect_head()
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # invalid data after the answer has begun: there is no way to say so
            self.transport.abort()
        if self._busy:
            self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        if self._writing is not None:
            self._writing.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        super().resume_writing()

    @property
    def _busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        self._reading = self.loop.call_later(self.limits.read_timeout, self.transport.abort)

    def _expect_nothing(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _watch_writing(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if self._writing is not None and unread >= self._unread:
            self.transport.abort()
            return
        self._unread = unread
        self._writing = self.loop.call_later(_WRITE_SECONDS, self._watch_writing)


class _LimitedConnection(h11.Connection):
    """Refuses bodies in a flood of tiny pieces."""

    _pieces = _size = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._size = 0
        elif isinstance(event, h11.Data):
            self._pieces += 1
            self._size += len(event.data)
            if self._pieces > _PIECES and self._size < _PIECE * self._pieces:
                raise h11.RemoteProtocolError("too many small pieces")
        return event
