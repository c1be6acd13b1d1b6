"""A supervised Triton server: started, checked, restarted when it fails, and stopped in bounded time."""

import os
import re
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType

from ...errors import EngineError
from .arguments import has_safe_http, steady_arguments
from .find_server import find_installation
from .installation import Installation
from .ports import free_ports, listens
from .probe import Health, HealthCheck, version_at
from .process import ServerProcess

_WATCH_SECONDS = 0.5
"""Pause between two looks at the server's processes."""
_PROBE_SECONDS = 10.0
"""Pause between two probes."""
_PROBE_TIMEOUT = 60.0
_STARTS = 3
"""Attempts at a restart."""
_ERROR = re.compile(r"E\d{4} |error:", re.IGNORECASE)
_TAIL, _LINE = 20, 400
_numbers = count()


class ServerStartError(EngineError):
    """The server did not start to serve. ``tail`` holds the errors of its log, or else its last lines."""

    def __init__(self, message: str, tail: list[str]) -> None:
        super().__init__(message)
        self.tail = tail


class TritonServer:
    """A server of one repository, on this machine, as a context manager.

        with TritonServer(repository) as server:
            client = tritonclient.grpc.InferenceServerClient(server.grpc_url)

    The block begins once the server has embedded a text. From then on a thread watches the server's processes, and
    embeds a text every ten seconds. It restarts Triton on the same ports when the server or any model's process dies,
    or when the server stops answering. Until it is back, some seconds later, clients see UNAVAILABLE or a closed
    connection.
    """

    def __init__(
        self,
        repository: Path | str,
        *,
        installation: Installation | None = None,
        host: str = "127.0.0.1",
        http: bool | None = None,
        http_port: int = 0,
        grpc_port: int = 0,
        metrics_port: int = 0,
        log: Path | str | None = None,
        start_timeout: float = 120.0,
        stop_timeout: float = 15.0,
        on_event: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Prepare a server; nothing is started yet.

        Args:
            repository: what :func:`~lam_engines.serving.triton.write_repository` wrote.
            installation: which server to run. Default: see :func:`.find_server.find_installation`.
            host: the address to listen on.
            http: open the HTTP port; None: unless the server is older than 25.07, in which it is unsafe.
            http_port: of the HTTP endpoint; 0: any free port. The same holds for the other ports.
            grpc_port: of the gRPC endpoint.
            metrics_port: of the metrics.
            log: the file that the server's output is appended to. Default: beside the repository.
            start_timeout: seconds within which the first text must be embedded.
            stop_timeout: seconds that running requests have to finish when the server stops.
            on_event: called with one line at every restart.
        """
        self.repository = Path(repository).resolve()
        self.host = host
        self.log = Path(log) if log is not None else self.repository.with_name(f"{self.repository.name}.log")
        self.restarts = 0
        """How often the server was restarted."""
        self._installation = installation
        self._ports = {"http-port": http_port, "grpc-port": grpc_port, "metrics-port": metrics_port}
        self._http = http
        self._start_timeout, self._stop_timeout = start_timeout, stop_timeout
        self._on_event = on_event
        self._process: ServerProcess | None = None
        self._model_processes: set[int] = set()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._failure: Exception | None = None
        self._probe = HealthCheck.of(self.repository)

    @property
    def http_url(self) -> str:
        """HOST:PORT of the HTTP endpoint (KServe's protocol, version 2); empty if it is shut."""
        return "" if self._http is False else self._url("http-port")

    @property
    def grpc_url(self) -> str:
        """HOST:PORT of the gRPC endpoint."""
        return self._url("grpc-port")

    @property
    def metrics_url(self) -> str:
        """HOST:PORT of Prometheus' ``/metrics``."""
        return self._url("metrics-port")

    @property
    def pid(self) -> int | None:
        """The server's process; None if there is none."""
        return self._process.pid if self._process else None

    @property
    def model_pids(self) -> set[int]:
        """The processes of the Python models."""
        return set(self._model_processes)

    def start(self) -> None:
        """Start the server and wait until it has embedded a text.

        Raises:
            EngineError: there is no server to run, or a port is taken.
            ServerStartError: the server ended, or did not serve in time. All its processes are gone.
        """
        installation = self._installation or find_installation(None)
        if self._http is None and installation.version:
            self._http = has_safe_http(installation.version)
        self._ports = free_ports(self.host, self._ports)
        self._start_process(installation)
        if self._http is None and self._process is not None:
            self._http = has_safe_http(version_at(self.grpc_url))
            if not self._http:
                self._process.stop(self._stop_timeout)
                self._start_process(installation)
        self._watcher = threading.Thread(target=self._watch, args=(installation,), name="lam-triton", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Let running requests finish within ``stop_timeout``, then end the server and all that belongs to it."""
        self._stopping.set()
        try:
            if self._process is not None:
                self._process.stop(self._stop_timeout)
            if self._watcher is not None:
                self._watcher.join()
        finally:
            if self._process is not None:  # the watcher may have started a new one
                self._process.kill()
            self._process = self._watcher = None

    def wait(self) -> None:
        """Wait until the server is stopped by another thread.

        Raises:
            ServerStartError: the server could not be restarted.
        """
        while not self._stopping.wait(_WATCH_SECONDS):
            pass
        if self._failure is not None:
            raise self._failure

    def probe(self, timeout: float | None = None) -> tuple[Health, str]:
        """Embed a text, or ask an empty memory; see :mod:`.probe`. The default timeout is a minute."""
        return self._probe(self.grpc_url, self.metrics_url, timeout or _PROBE_TIMEOUT)

    def __enter__(self) -> "TritonServer":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _url(self, option: str) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self._ports[option]}"

    def _start_process(self, installation: Installation) -> None:
        shared_memory = f"lam_{os.getpid()}_{next(_numbers)}_"
        logged = self.log.stat().st_size if self.log.exists() else 0
        process = ServerProcess(installation, self._arguments(shared_memory), self.log, shared_memory)
        self._process = process
        deadline = time.monotonic() + self._start_timeout
        while not self._stopping.wait(0.2):
            if (code := process.exit_code) is not None:
                process.kill()
                raise self._start_error(f"tritonserver ended with {code} before it served", logged)
            health, said = self.probe(timeout=max(0.1, min(_PROBE_TIMEOUT, deadline - time.monotonic())))
            # It opens gRPC first, then HTTP, and the metrics last.
            if health is Health.SERVES and listens(self.metrics_url):
                self._model_processes = process.children()
                return
            if time.monotonic() > deadline:
                process.kill()
                said = " ".join(said.split())
                raise self._start_error(
                    f"tritonserver did not serve within {self._start_timeout:.0f} s ({said})", logged
                )

    def _arguments(self, shared_memory: str) -> list[str]:
        return [
            f"--model-repository={self.repository}",
            f"--allow-http={'false' if self._http is False else 'true'}",
            f"--http-address={self.host}",
            f"--grpc-address={self.host}",
            f"--metrics-address={self.host}",
            *(f"--{option}={port}" for option, port in self._ports.items()),
            f"--backend-config=python,shm-region-prefix-name={shared_memory}",
            *steady_arguments(self._stop_timeout),
        ]

    def _start_error(self, what: str, logged: int) -> ServerStartError:
        with self.log.open("rb") as file:
            file.seek(logged)
            lines = file.read().decode("utf-8", "replace").splitlines()
        said = [line[:_LINE] for line in lines if line.strip("+-| ")]
        errors = [line for line in said if _ERROR.match(line)]
        return ServerStartError(f"{what}; see {self.log}", (errors or said)[-_TAIL:])

    def _watch(self, installation: Installation) -> None:
        try:
            probed = time.monotonic()
            while not self._stopping.wait(_WATCH_SECONDS):
                probing = time.monotonic() - probed > _PROBE_SECONDS
                reason = self._what_is_wrong(probing)
                if reason and not self._stopping.is_set():
                    self._restart(installation, reason)
                if reason or probing:
                    probed = time.monotonic()
        except Exception as error:
            self._failure = error
            self._stopping.set()

    def _what_is_wrong(self, probing: bool) -> str:
        process = self._process
        if process is None:
            return ""
        if (code := process.exit_code) is not None:
            return f"the server ended with {code}"
        if gone := self._model_processes - process.children():
            return f"{len(gone)} of its {len(self._model_processes)} Python models died"
        if probing:
            health, said = self.probe()
            if health is Health.FAILS:  # one failure may be due to the batch that this text was in
                health, said = self.probe()
            if health in (Health.FAILS, Health.SILENT):
                return f"it does not embed ({' '.join(said.split())})"
        return ""

    def _restart(self, installation: Installation, reason: str) -> None:
        self._on_event(f"restarting the server: {reason}")
        if self._process is not None:
            self._process.kill()
        for attempt in range(1, _STARTS + 1):
            try:
                self._start_process(installation)
                break
            except ServerStartError:
                if attempt == _STARTS or self._stopping.wait(2.0**attempt):
                    raise
        self.restarts += 1
        if not self._stopping.is_set():
            self._on_event("the server serves again")
