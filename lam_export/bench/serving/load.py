"""Closed and open load on a target, every answer compared."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from .schema import Load
from .targets import RequestError, Target

TOLERANCE = 1e-5
"""Largest difference of a figure from the engine's own on the same machine: other batches, other order of sums."""
_LATE = "not sent: all clients were waiting"
_MOST_CLIENTS = 256
"""Of an open load. Requests that are due while all of them wait are an error of the server's."""


@dataclass(frozen=True)
class Mix:
    """Texts with the embeddings that must come back."""

    texts: Sequence[str]
    tokens: Sequence[int]
    expected: np.ndarray
    """``[n, hidden]`` float32."""
    per_request: int = 1

    def request(self, number: int) -> np.ndarray:
        """Indices of the texts of a request; always the same ones."""
        return np.random.default_rng(number).integers(len(self.texts), size=self.per_request)


@dataclass
class _Tally:
    """What came back, put down by many threads."""

    mix: Mix
    lock: threading.Lock = field(default_factory=threading.Lock)
    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    wrong: int = 0
    max_abs: float = 0.0

    def send(self, target: Target, number: int, due: float) -> None:
        """Send a request, compare the answer; ``due`` is when it should have been sent."""
        rows = self.mix.request(number)
        try:
            found = target.send([self.mix.texts[row] for row in rows])
        except RequestError as error:
            self.fail(str(error))
            return
        took = time.perf_counter() - due
        expected = self.mix.expected[rows]
        apart = np.abs(found - expected).max(axis=1) if found.shape == expected.shape else np.full(len(rows), np.inf)
        with self.lock:
            self.seconds.append(took)
            self.tokens += sum(self.mix.tokens[row] for row in rows)
            self.wrong += int((~(apart <= TOLERANCE)).sum())  # NaN is wrong too
            self.max_abs = max(self.max_abs, float(np.nan_to_num(apart, nan=np.inf).max()))

    def fail(self, kind: str) -> None:
        with self.lock:
            self.errors[kind] += 1


def closed(target: Target, mix: Mix, *, clients: int, seconds: float) -> Load:
    """So many clients, each of which sends its next request when it has the answer to the last."""
    tally, numbers = _Tally(mix), iter(range(1 << 62))
    start = time.perf_counter()

    def client() -> None:
        while time.perf_counter() < start + seconds:
            tally.send(target, next(numbers), time.perf_counter())

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client) for _ in range(clients)]:
            done.result()
    return _result("closed", clients, tally, time.perf_counter() - start)


def opened(target: Target, mix: Mix, *, rate: float, seconds: float) -> Load:
    """So many requests a second at random moments (Poisson), whether answers come or not."""
    tally, free = _Tally(mix), threading.Semaphore(_MOST_CLIENTS)

    def send(number: int, due: float) -> None:
        try:
            tally.send(target, number, due)
        finally:
            free.release()

    start = time.perf_counter()
    with ThreadPoolExecutor(_MOST_CLIENTS) as pool:
        for number, due in enumerate(_moments(rate, seconds)):
            time.sleep(max(0.0, start + due - time.perf_counter()))
            if free.acquire(blocking=False):
                pool.submit(send, number, start + due)
            else:
                tally.fail(_LATE)
    return _result("open", rate, tally, time.perf_counter() - start)


def _moments(rate: float, seconds: float) -> Iterator[float]:
    random, moment = np.random.default_rng(0), 0.0
    while (moment := moment + random.exponential(1 / rate)) < seconds:
        yield moment


def _result(kind: str, level: float, tally: _Tally, seconds: float) -> Load:
    quantiles = np.percentile(tally.seconds, range(101)) if tally.seconds else np.empty(0)
    return Load(
        kind=kind,  # type: ignore[arg-type]
        level=level,
        seconds=seconds,
        requests=len(tally.seconds),
        texts=len(tally.seconds) * tally.mix.per_request,
        tokens=tally.tokens,
        quantiles=tuple(quantiles.tolist()),
        errors=dict(tally.errors),
        wrong=tally.wrong,
        max_abs=tally.max_abs,
    )
