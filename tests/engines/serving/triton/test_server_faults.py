"""What goes wrong while serving: what the client sees, and that service is back, and that nothing is left behind."""

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from asking import AskedError, embeddings, over_grpc, over_http
from served import CLOSE, mixed

from lam_engines import EngineError
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.triton import ServingOptions, TritonServer, write_repository
from lam_engines.serving.triton import server as server_module
from lam_engines.serving.triton.installation import Installation
from lam_engines.serving.triton.server import ServerStartError

pytestmark = pytest.mark.heavy

TEXTS = [text for text in mixed(40) if text.isascii()]
SENT = [text.encode() for text in TEXTS]
BACK = 60.0
"""Seconds within which service must be back."""
_GONE = {"UNAVAILABLE", "INTERNAL", "NOT_FOUND", "CANCELLED"}
"""What clients see of a server that dies or stops; NOT_FOUND while it unloads its models."""


class Load:
    """Clients that ask all the time, with whatever they see."""

    def __init__(self, server: TritonServer, expected: np.ndarray, clients: int = 8) -> None:
        self.served = 0
        self.wrong = 0
        self.errors: Counter[str] = Counter()
        self._server, self._expected = server, expected
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        self.wait_for(50)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Until so many more texts were embedded."""
        wanted, deadline = self.served + more, time.monotonic() + BACK
        while self.served < wanted:
            assert time.monotonic() < deadline, f"{self.served} served; {self.errors}"
            time.sleep(0.05)

    def _ask(self, client: int) -> None:
        ask = over_grpc(self._server.grpc_url, timeout=20)
        for i in range(client, 1 << 30):
            if self._over.is_set():
                return
            text = i % len(SENT)
            try:
                found = ask([SENT[text]])["sentence_embedding"][0]
            except AskedError as error:
                self.errors[error.status] += 1
                time.sleep(0.05)
                continue
            self.wrong += not np.allclose(found, self._expected[text], **CLOSE)
            self.served += 1


@pytest.fixture(scope="module")
def expected(tiny_engine: EmbeddingEngine) -> np.ndarray:
    return tiny_engine.embed(TEXTS)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    return write_repository(tiny_bundle, tmp_path_factory.mktemp("faults") / "models")


def segments() -> set[Path]:
    """Shared memory of the servers that this process started."""
    return set(Path("/dev/shm").glob(f"lam_{os.getpid()}_*"))


@contextmanager
def nothing_left(server: TritonServer) -> Iterator[None]:
    """Whatever the block does with a running server, afterwards none of its processes, ports and memory is left."""
    before = segments()
    server.start()
    processes = {server.pid, *server.model_pids}
    ports = [int(url.rpartition(":")[2]) for url in (server.grpc_url, server.metrics_url)]
    try:
        yield
    finally:
        server.stop()
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    assert segments() == before
    for port in ports:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))


def a_model(server: TritonServer) -> int:
    return max(server.model_pids)


@pytest.mark.parametrize("victim", [a_model, lambda server: server.pid], ids=["a model", "the server"])
def test_killed_under_load(
    repository: Path, expected: np.ndarray, triton_installation: Installation, victim: Callable[[TritonServer], int]
) -> None:
    events: list[str] = []
    server = TritonServer(repository, installation=triton_installation, on_event=events.append)
    with nothing_left(server):
        url = server.grpc_url
        with Load(server, expected) as load:
            os.kill(victim(server), signal.SIGKILL)
            while not server.restarts:
                time.sleep(0.05)
            load.wait_for(100)
        assert load.wrong == 0
        assert set(load.errors) <= _GONE
        assert server.grpc_url == url
        assert [event.partition(":")[0] for event in events] == ["restarting the server", "the server serves again"]
        # Of a killed model the supervisor tells, or Triton aborts over it first (signal 6).
        assert "died" in events[0] or "the server ended with -" in events[0]


def test_stopped_under_load(repository: Path, expected: np.ndarray, triton_installation: Installation) -> None:
    server = TritonServer(repository, installation=replace(triton_installation, version=""))  # it asks the server
    with nothing_left(server), Load(server, expected) as load:
        assert server.http_url == "", "the version is an old one"
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 20
    assert load.wrong == 0
    assert set(load.errors) <= _GONE
    assert server.restarts == 0


def test_a_server_that_hangs(
    repository: Path, expected: np.ndarray, triton_installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_PROBE_SECONDS", 1.0)
    monkeypatch.setattr(server_module, "_PROBE_TIMEOUT", 3.0)
    events: list[str] = []
    server = TritonServer(repository, installation=triton_installation, on_event=events.append)
    with nothing_left(server):
        assert server.pid
        os.kill(server.pid, signal.SIGSTOP)
        deadline = time.monotonic() + BACK
        while not server.restarts:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        found = embeddings(over_grpc(server.grpc_url), SENT, 8)
        np.testing.assert_allclose(found, expected, **CLOSE)
    assert events[0] == "restarting the server: it does not embed (no answer within 3 s)"


def test_a_full_queue(
    tmp_path: Path, tiny_bundle: Path, tiny_engine: EmbeddingEngine, triton_installation: Installation
) -> None:
    options = ServingOptions(queue_size=2, max_batch=1)
    repository = write_repository(tiny_bundle, tmp_path / "models", options)
    text = "the dog runs " * 2500
    expected = tiny_engine.embed([text])
    statuses: Counter[str] = Counter()
    with TritonServer(repository, installation=triton_installation) as server:
        ask = over_grpc(server.grpc_url)

        def attempt(_: int) -> None:
            try:
                found = ask([text.encode()])["sentence_embedding"]
            except AskedError as error:
                statuses[f"{error.status} {error.message.rpartition('] ')[2]}"] += 1
            else:
                statuses["served"] += np.allclose(found, expected, **CLOSE)

        threads = [threading.Thread(target=attempt, args=(i,)) for i in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses["served"] >= 3
        assert set(statuses) == {"served", "UNAVAILABLE Exceeds maximum queue size"}
        assert sum(statuses.values()) == 24
        np.testing.assert_allclose(ask([text.encode()])["sentence_embedding"], expected, **CLOSE)
        assert server.restarts == 0


def test_clients_that_hang_up(tiny_server: TritonServer, expected: np.ndarray) -> None:
    long = b"the dog runs " * 2000
    before = tiny_server.restarts, tiny_server.model_pids
    for _ in range(20):
        with pytest.raises(AskedError, match="DEADLINE_EXCEEDED"):
            over_grpc(tiny_server.grpc_url, timeout=0.01)([long])
        host, _, port = tiny_server.http_url.rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"POST /v2/models/lam_embed/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n{")
    np.testing.assert_allclose(embeddings(over_http(tiny_server.http_url), SENT, 8), expected, **CLOSE)
    assert (tiny_server.restarts, tiny_server.model_pids) == before


def test_a_corrupt_model_file(tmp_path: Path, tiny_bundle: Path, triton_installation: Installation) -> None:
    repository = write_repository(tiny_bundle, tmp_path / "models")
    (repository / "lam_core" / "1" / "model.onnx").write_bytes(b"no graph")
    before = segments()
    with pytest.raises(ServerStartError, match=r"tritonserver ended with 1 before it served; see ") as caught:
        TritonServer(repository, installation=triton_installation).start()
    assert any("lam_core" in line and "model.onnx" in line for line in caught.value.tail)
    assert segments() == before


def test_a_port_in_use(repository: Path, triton_installation: Installation) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        with pytest.raises(EngineError, match=rf"expected port {port} of 127.0.0.1 to be free, .*--grpc-port PORT"):
            TritonServer(repository, installation=triton_installation, grpc_port=port).start()


def test_a_server_that_never_serves(tmp_path: Path, repository: Path) -> None:
    program = tmp_path / "tritonserver"
    program.write_text("#!/bin/sh\necho loading\nexec sleep 60\n")
    program.chmod(0o755)
    server = TritonServer(repository, installation=Installation((str(program),)), start_timeout=2, log=tmp_path / "log")
    with pytest.raises(ServerStartError, match="did not serve within 2 s") as caught:
        server.start()
    assert caught.value.tail == ["loading"]
    with pytest.raises(ServerStartError, match="ended with 127"):
        TritonServer(
            repository, installation=Installation(("/bin/sh", "-c", "exit 127", "--")), log=tmp_path / "log"
        ).start()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "systemsharedmemory/region/x/register", {"key": "/lam_x", "offset": 0, "byte_size": 64}),
        ("GET", "systemsharedmemory/status", None),
        ("POST", "logging", {"log_verbose_level": 9}),
        ("GET", "trace/setting", None),
        ("POST", "repository/index", {}),
        ("POST", "repository/models/lam_core/unload", {}),
    ],
)
def test_the_control_endpoints_are_shut(tiny_server: TritonServer, method: str, path: str, body: object) -> None:
    connection = HTTPConnection(tiny_server.http_url, timeout=30)
    connection.request(method, f"/v2/{path}", None if body is None else json.dumps(body))
    assert connection.getresponse().status == 403
    connection.close()


def test_they_are_shut_over_grpc_too(tiny_server: TritonServer) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    with InferenceServerClient(tiny_server.grpc_url) as client:
        for call in (client.get_log_settings, client.get_trace_settings, client.get_model_repository_index):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()


def test_lam_core_has_a_limit_of_its_own(tiny_server: TritonServer) -> None:
    tokens = 60_000
    body = {
        "inputs": [
            {"name": "input_ids", "shape": [1, tokens], "datatype": "INT32", "data": [5] * tokens},
            {"name": "token_count", "shape": [1, 1], "datatype": "INT32", "data": [tokens]},
        ]
    }
    connection = HTTPConnection(tiny_server.http_url, timeout=60)
    connection.request("POST", "/v2/models/lam_core/infer", json.dumps(body))
    answer = connection.getresponse()
    assert (answer.status, b"at most 8,192 tokens, found 60,000 in text 0" in answer.read()) == (400, True)
    connection.close()


def test_what_waits_in_lam_core_is_counted_and_leaves_with_its_client(tiny_server: TritonServer) -> None:
    from tritonclient.grpc import InferenceServerClient, InferInput

    def counted(name: str) -> float:
        with urlopen(f"http://{tiny_server.metrics_url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def computed(client: InferenceServerClient) -> float:
        """Of 120 texts, those that were computed although their client leaves when 20 of them wait."""
        done, texts = counted("lam_texts"), np.array([["the dog runs " * 1200]], dtype=object)
        given = InferInput("text", [1, 1], "BYTES")
        given.set_data_from_numpy(texts)
        asked = [client.async_infer("lam_embed", [given], lambda result, error: None) for _ in range(120)]
        deadline = time.monotonic() + BACK
        while counted("lam_waiting_requests") < 20:
            assert time.monotonic() < deadline
        for one in asked:
            one.cancel()
        while counted("lam_waiting_requests") > 0:
            assert time.monotonic() < deadline
        return counted("lam_texts") - done

    with InferenceServerClient(tiny_server.grpc_url) as client:
        # A loaded machine may be late to say that the client has left, when all is computed.
        assert any(computed(client) < 120 for _ in range(5))
    assert over_grpc(tiny_server.grpc_url)([b"hi"])["token_count"].item() > 2
