"""Entrants at one piece of work: first their embeddings, then their times, in turn."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import numpy as np

from lam_engines.errors import LamError
from lam_export.bench.timing import in_turn, median_ratio
from lam_export.evidence.entrants import Entrant
from lam_export.evidence.metrics import EmbeddingDiff, diff

from .schema import Result, Times
from .shapes import Shape
from .worker import Worker

FEWEST, MOST = 3, 100
"""Timed runs of each entrant."""
_UNIT = 1e-3
"""How far from 1 the length of an embedding may be: float16 rounds each of its elements by 5e-4."""


@dataclass(frozen=True)
class Observer:
    """Told of each step that begins, with its number of pieces, and of each piece that is done."""

    begin: Callable[[str, int], None] = lambda step, pieces: None
    advance: Callable[[int], None] = lambda done: None


@dataclass
class _Verdict:
    """What came of an entrant's embeddings."""

    note: str = ""
    mismatch: bool = False
    found: EmbeddingDiff | None = None


def measure(
    shape: Shape,
    entrants: Sequence[Entrant],
    reference: Entrant,
    *,
    baselines: Sequence[str] = (),
    seconds: float = 10,
    observer: Observer = Observer(),
) -> list[Result]:
    """Let the entrants do a piece of work, each in a new process of its own.

    Args:
        shape: the work.
        entrants: who does it.
        reference: whose embeddings are right; it may be one of them.
        baselines: names of those that the others are held against.
        seconds: about how long to measure, all entrants together. Each runs :data:`FEWEST` times at least.
        observer: of the steps.

    Returns:
        A result of each entrant, in order.

    Raises:
        LamError: an entrant cannot be loaded.
    """
    name = shape.info.name
    with ExitStack() as stack:
        observer.begin(f"{name} tokens: loading and comparing", len(entrants))
        expected = None
        verdicts: dict[str, _Verdict] = {}
        workers: dict[str, Worker] = {}
        right = reference.info.name
        if right not in {entrant.info.name for entrant in entrants}:
            with Worker(reference.load, shape) as worker:
                expected = _attempt(worker.embed, _Verdict())
        for entrant in sorted(entrants, key=lambda entrant: entrant.info.name != right):
            verdict = verdicts[entrant.info.name] = _Verdict(entrant.refusal(shape.info))
            if not verdict.note:
                worker = stack.enter_context(Worker(entrant.load, shape))
                vectors = _attempt(worker.embed, verdict)
                if entrant.info.name == right:
                    expected = vectors
                if vectors is not None:
                    _judge(vectors, expected, entrant, verdict)
                if verdict.note:
                    worker.close()
                else:
                    workers[entrant.info.name] = worker
            observer.advance(1)
        taken = _time(workers, verdicts, seconds, name, observer)
        memories = {name: workers[name].memory() for name in taken}
    results = []
    for entrant in entrants:
        who = entrant.info.name
        verdict = verdicts[who]
        results.append(
            Result(
                entrant=who,
                shape=name,
                status="mismatch" if verdict.mismatch else "measured" if who in taken else "not run",
                note=verdict.note or entrant.remark(shape.info),
                max_abs=None if verdict.found is None else verdict.found.max_abs,
                cosine=None if verdict.found is None else verdict.found.cosine,
                times=_times(who, taken, baselines, shape.info.tokens) if who in taken else None,
                memory=memories.get(who),
            )
        )
    return results


def _attempt(call: Callable[[], np.ndarray], verdict: _Verdict) -> np.ndarray | None:
    try:
        return call()
    except LamError as error:
        verdict.note = str(error)
        return None


def _judge(vectors: np.ndarray, expected: np.ndarray | None, entrant: Entrant, verdict: _Verdict) -> None:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) < _UNIT).all():
        verdict.mismatch, verdict.note = True, "gives embeddings that are not of unit length"
    if entrant.thresholds is None:
        return
    if expected is None:
        verdict.note = verdict.note or "not compared: the reference cannot do this"
        return
    found = verdict.found = diff(vectors, expected, entrant.thresholds)
    if not found:
        verdict.mismatch = True
        verdict.note = f"embeddings differ: max-abs {found.max_abs:.1e}, 1 - cosine {1 - found.cosine:.1e}"


def _time(
    workers: dict[str, Worker], verdicts: Mapping[str, _Verdict], seconds: float, name: str, observer: Observer
) -> dict[str, list[float]]:
    """Seconds of every run; an entrant that fails on the way is taken out, and the others begin again."""
    while workers:
        failed = ""

        def clock(who: str) -> float:
            nonlocal failed
            failed = who
            return workers[who].seconds()

        clocks = {who: lambda who=who: clock(who) for who in workers}  # type: ignore[misc]
        try:
            first = in_turn(clocks, repeats=1)
            once = sum(runs[0] for runs in first.values())
            repeats = int(np.clip(seconds / once, FEWEST, MOST))
            observer.begin(f"{name} tokens: {repeats} runs each", repeats * len(workers))
            observer.advance(len(workers))
            rest = in_turn(clocks, repeats=repeats - 1, on_run=lambda: observer.advance(1))
            return {who: first[who] + rest[who] for who in workers}
        except LamError as error:
            verdicts[failed].note = str(error)
            workers.pop(failed).close()
    return {}


def _times(who: str, taken: Mapping[str, list[float]], baselines: Sequence[str], tokens: int) -> Times:
    runs = taken[who]
    low, middle, high = np.percentile(runs, [25, 50, 75])
    return Times(
        seconds=tuple(runs),
        median=float(middle),
        quartiles=(float(low), float(high)),
        tokens_per_second=tokens / median(runs),
        times_as_fast={base: median_ratio(taken[base], runs) for base in baselines if base in taken and base != who},
    )
