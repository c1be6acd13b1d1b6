"""The server: listens, answers, and is stopped without a lost request."""

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from ...errors import EngineError, LamError
from .access_log import access_log
from .apis import Apis
from .bind import bind
from .guard import REQUEST_ID, TRUNCATED, WARNING, Guard
from .metrics import Metrics
from .models import Models
from .options import HttpOptions
from .protocol import protocol_of
from .state import State
from .tracing import no_trace, open_tracing

_KEEP_ALIVE = 75
"""Seconds that an idle connection stays open. Load balancers reuse connections for up to 60."""
_START = 20.0
_log = logging.getLogger(__name__)


class HttpServer:
    """A server of loaded models. It runs in this thread (:meth:`run`), or in one of its own in a ``with`` block.

    with HttpServer([Path("my-model")], HttpOptions(port=0)) as server:
        print(server.url)
    """

    def __init__(self, bundles: Sequence[Path], options: HttpOptions, **engine: Any) -> None:
        """Take the port, load the bundles and warm them up. Nothing is listened to yet.

        Args:
            bundles: folders of bundles. A model's name is its folder's.
            options: places, limits and keys.
            engine: ``engine``, ``precision``, ``device`` and ``threads``, as for ``load_engine``.

        Raises:
            InputError: two bundles have the same name.
            BundleError: a bundle cannot be loaded.
            EngineError: the port is taken, a file cannot be used, or the engine cannot run here.
        """
        self.options, self.state, self.metrics = options, State(), Metrics()
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._socket = stack.enter_context(bind(options.host, options.port))
            write = access_log(options.access_log, stack)
            trace = open_tracing(stack) if options.tracing else no_trace
            self.models = Models(bundles, options, self.metrics, **engine)
            stack.callback(self.models.close)
            app: ASGIApp = Apis(self.models, options, self.metrics, self.state).app()
            app = Guard(app, options, self.metrics, self.state, write, trace)
            if options.cors_origins:
                shown = [name.decode() for name in (REQUEST_ID, TRUNCATED, WARNING)]
                app = CORSMiddleware(
                    app,
                    allow_origins=options.cors_origins,
                    allow_methods=["GET", "POST"],
                    allow_headers=["authorization", "content-type", "x-api-key", "x-request-id"],
                    expose_headers=[*shown, "retry-after"],
                )
            try:
                self._server = _Uvicorn(app, options, self.state, self.models)
            except (OSError, ValueError) as error:
                raise EngineError(
                    f"expected a certificate and its key in PEM files, found {options.tls_cert} and {options.tls_key} "
                    f"({error}); see --tls-cert and --tls-key"
                ) from None
            self._stack = stack.pop_all()
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="lam-http", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, such as ``http://127.0.0.1:8080``."""
        host, port = self._socket.getsockname()[:2]
        scheme = "https" if self.options.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self, on_ready: Callable[[], None], on_event: Callable[[str], None]) -> None:
        """Serve in this thread until SIGTERM or Ctrl-C, and until running requests are answered.

        Args:
            on_ready: called once the port listens.
            on_event: called with one line when models were loaded again on SIGHUP, or could not be.
        """
        self._server.on_ready, self._server.on_event = on_ready, on_event
        try:
            self._server.run([self._socket])
        finally:
            self._stack.close()

    def __enter__(self) -> "HttpServer":
        self._thread.start()
        deadline = time.monotonic() + _START
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.__exit__()
                raise EngineError(f"the server at {self.url} did not start; see its messages above")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Begin to stop, as SIGTERM does."""
        self._server.handle_exit(signal.SIGTERM, None)

    def __exit__(self, *exception: object) -> None:
        self._server.state.draining = self._server.should_exit = True
        self._thread.join()
        self._stack.close()


class _Uvicorn(uvicorn.Server):
    """Uvicorn with our limits. It ends without a signal of its own, after a time in which it still listens."""

    def __init__(self, app: ASGIApp, options: HttpOptions, state: State, models: Models) -> None:
        config = uvicorn.Config(
            app,
            http=protocol_of(options),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=1024,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(options.stop_timeout)),
            ssl_certfile=options.tls_cert,
            ssl_keyfile=options.tls_key,
        )
        config.load()
        super().__init__(config)
        # Uvicorn's messages: broken requests, each of which is answered, and the end of running ones.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self.options, self.state, self.models = options, state, models
        self.on_ready: Callable[[], None] = lambda: None
        self.on_event: Callable[[str], None] = lambda message: None
        self._background: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.state.draining = True
        # Shortly before uvicorn cancels what still runs, it is answered.
        assert self._loop is not None  # noqa: S101 - it has been started
        last = self._loop.call_later(max(0.1, self.options.stop_timeout - 0.5), self.models.abandon)
        await super().shutdown(sockets)
        last.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own, this does not send the process the signal once more at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Any] = {signal.SIGINT: self.handle_exit, signal.SIGTERM: self.handle_exit}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = lambda number, frame: self._soon(self._reload())
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: at once after Ctrl-C, after the delay for load balancers after SIGTERM. The second time, hurry."""
        if self.state.draining or sig == signal.SIGINT or not self.options.drain_delay:
            self.force_exit = self.should_exit
            self.should_exit = True
        else:
            self._soon(self._exit_later())
        self.state.draining = True

    async def _exit_later(self) -> None:
        await asyncio.sleep(self.options.drain_delay)
        self.should_exit = True

    async def _reload(self) -> None:
        try:
            await self.models.reload()
        except LamError as error:
            self.on_event(f"nothing was changed: {error}")
        else:
            self.on_event("the models were loaded again")

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the server's loop, from a signal's handler or another thread."""

        def begin() -> None:
            task = asyncio.ensure_future(work)
            self._background.add(task)
            task.add_done_callback(self._background.discard)

        assert self._loop is not None  # noqa: S101 - signals are handled once it runs
        self._loop.call_soon_threadsafe(begin)
