"""Closed and open load on a connection, with every answer compared."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import numpy as np

from lam_engines.embedding.engine import EmbeddingEngine
from lam_export.bench.speed.shapes import mixed_texts

from . import sockets
from .connections import Connection, HttpConnection, RequestError
from .schema import Load

TOLERANCE = 1e-5
"""Largest allowed difference of a value from the engine's own. Other batches sum in another order."""
_LATE = "not sent: all clients were waiting"
_REQUESTS = 2000
"""Different requests of light clients, which begin again after so many."""
_MOST_CLIENTS = 256
"""Clients of an open load. A request that is due while all of them wait counts as an error of the server."""


@dataclass(frozen=True)
class Mix:
    """Texts, and the embeddings that the server must give."""

    texts: Sequence[str]
    tokens: Sequence[int]
    """Number of tokens of each text."""
    expected: np.ndarray
    """Embeddings ``[n, hidden]`` float32."""
    per_request: int = 1
    """Texts in a request."""
    tolerance: float = TOLERANCE
    """Largest difference of a value from ``expected`` that is not wrong."""

    @staticmethod
    def each(engine: EmbeddingEngine, texts: Sequence[str]) -> "Mix":
        """These texts, with the engine's embeddings."""
        return Mix(texts, [len(ids) for ids in engine.tokenizer.encode(texts)], engine.embed(texts))

    @staticmethod
    def of(engine: EmbeddingEngine, count: int, per_request: int = 1) -> "Mix":
        """Texts of log-normal lengths, with the engine's embeddings."""
        return replace(Mix.each(engine, mixed_texts(count)), per_request=per_request)

    def request(self, number: int) -> np.ndarray:
        """Indices of the texts of a request. A number always gives the same ones."""
        return np.random.default_rng(number).integers(len(self.texts), size=self.per_request)


@dataclass
class _Tally:
    """Counts of the answers. Many threads add to it."""

    mix: Mix
    lock: threading.Lock = field(default_factory=threading.Lock)
    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    wrong: int = 0
    max_abs: float = 0.0

    def send(self, connection: Connection, number: int, due: float) -> None:
        """Send a request and compare the answer. ``due`` is when it should have been sent."""
        rows = self.mix.request(number)
        try:
            found = connection.send([self.mix.texts[row] for row in rows])
        except RequestError as error:
            self.fail(str(error))
            return
        self.compare(rows, found, time.perf_counter() - due)

    def compare(self, rows: np.ndarray, found: np.ndarray, took: float) -> None:
        """Count an answer to the texts of these rows, which took so many seconds."""
        expected = self.mix.expected[rows]
        apart = np.abs(found - expected).max(axis=1) if found.shape == expected.shape else np.full(len(rows), np.inf)
        with self.lock:
            self.seconds.append(took)
            self.tokens += sum(self.mix.tokens[row] for row in rows)
            self.wrong += int((~(apart <= self.mix.tolerance)).sum())  # NaN is wrong too
            self.max_abs = max(self.max_abs, float(np.nan_to_num(apart, nan=np.inf).max()))

    def fail(self, kind: str) -> None:
        with self.lock:
            self.errors[kind] += 1


def closed(connection: Connection, mix: Mix, *, clients: int, seconds: float) -> Load:
    """Load of a number of clients. Each sends its next request when it has the answer to the last.

    Over HTTP they are light (see :mod:`~serving_load.sockets`); over gRPC they are threads of this process.
    """
    tally = _Tally(mix)
    if isinstance(connection, HttpConnection):
        rows = [mix.request(number) for number in range(_REQUESTS)]
        address = urlsplit(connection.url)
        found = sockets.send(
            address.hostname or "",
            address.port or 80,
            [connection.request([mix.texts[row] for row in each]) for each in rows],
            clients=clients,
            seconds=seconds,
            timeout=connection.timeout,
        )
        tally.errors = found.errors
        for number, body, took in zip(found.numbers, found.bodies, found.took, strict=True):
            tally.compare(rows[number], connection.embeddings(json.loads(body)), took)
        return _result("closed", clients, tally, found.seconds, found.processor_seconds)
    numbers = iter(range(1 << 62))
    start, used = time.perf_counter(), time.process_time()

    def client() -> None:
        while time.perf_counter() < start + seconds:
            tally.send(connection, next(numbers), time.perf_counter())

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client) for _ in range(clients)]:
            done.result()
    return _result("closed", clients, tally, time.perf_counter() - start, time.process_time() - used)


def opened(connection: Connection, mix: Mix, *, rate: float, seconds: float) -> Load:
    """Load of a number of requests a second at random moments (Poisson), whether answers come or not."""
    tally, free = _Tally(mix), threading.Semaphore(_MOST_CLIENTS)

    def send(number: int, due: float) -> None:
        try:
            tally.send(connection, number, due)
        finally:
            free.release()

    start, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(_MOST_CLIENTS) as pool:
        for number, due in enumerate(_moments(rate, seconds)):
            time.sleep(max(0.0, start + due - time.perf_counter()))
            if free.acquire(blocking=False):
                pool.submit(send, number, start + due)
            else:
                tally.fail(_LATE)
    return _result("open", rate, tally, time.perf_counter() - start, time.process_time() - used)


def _moments(rate: float, seconds: float) -> Iterator[float]:
    random, moment = np.random.default_rng(0), 0.0
    while (moment := moment + random.exponential(1 / rate)) < seconds:
        yield moment


def _result(kind: str, level: float, tally: _Tally, seconds: float, processor_seconds: float) -> Load:
    quantiles = np.percentile(tally.seconds, range(101)) if tally.seconds else np.empty(0)
    return Load(
        kind=kind,  # type: ignore[arg-type]
        level=level,
        seconds=seconds,
        clients_processor_seconds=processor_seconds,
        requests=len(tally.seconds),
        texts=len(tally.seconds) * tally.mix.per_request,
        tokens=tally.tokens,
        quantiles=tuple(quantiles.tolist()),
        errors=dict(tally.errors),
        wrong=tally.wrong,
        max_abs=tally.max_abs,
    )
