"""Measure subjects at one piece of work: compare their embeddings, then time them in turn."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import numpy as np

from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_export.bench.timing import in_turn, median_ratio
from lam_export.evidence.metrics import EmbeddingDiff, diff
from lam_export.evidence.subject import Subject

from .schema import SpeedResult, Times
from .shapes import Shape
from .subject_process import SubjectProcess

FEWEST, MOST = 3, 100
"""Smallest and largest number of timed runs of each subject."""
_UNIT = 1e-3
"""Largest allowed difference of an embedding's length from 1. Float16 rounds each element by up to 5e-4."""


@dataclass
class _Verdict:
    """The verdict on a subject's embeddings."""

    note: str = ""
    mismatch: bool = False
    found: EmbeddingDiff | None = None


def measure(
    shape: Shape,
    subjects: Sequence[Subject],
    reference: Subject,
    *,
    baselines: Sequence[str] = (),
    seconds: float = 10,
    progress: Progress = Progress(),
) -> list[SpeedResult]:
    """Let the subjects do a piece of work, each in a new process of its own.

    Args:
        shape: the work.
        subjects: the subjects that do the work.
        reference: the subject whose embeddings are right. It may be one of ``subjects``.
        baselines: names of the subjects with which all others are compared.
        seconds: about how long to measure all subjects together. Each runs at least :data:`FEWEST` times.
        progress: told of each step, and of each piece of a step.

    Returns:
        One result for each subject, in order.

    Raises:
        LamError: a subject cannot be loaded.
    """
    name = shape.info.name
    with ExitStack() as stack:
        progress.begin(f"{name} tokens: loading and comparing", len(subjects))
        expected = None
        verdicts: dict[str, _Verdict] = {}
        processes: dict[str, SubjectProcess] = {}
        right = reference.info.name
        if right not in {subject.info.name for subject in subjects}:
            with SubjectProcess(reference.load, shape) as process:
                expected = _attempt(process.embed, _Verdict())
        for subject in sorted(subjects, key=lambda subject: subject.info.name != right):
            verdict = verdicts[subject.info.name] = _Verdict(subject.refusal(shape.info))
            if not verdict.note:
                process = stack.enter_context(SubjectProcess(subject.load, shape))
                vectors = _attempt(process.embed, verdict)
                if subject.info.name == right:
                    expected = vectors
                if vectors is not None:
                    _judge(vectors, expected, subject, verdict)
                if verdict.note:
                    process.close()
                else:
                    processes[subject.info.name] = process
            progress.advance(1)
        taken = _time(processes, verdicts, seconds, name, progress)
        memories = {name: processes[name].memory() for name in taken}
    results = []
    for subject in subjects:
        who = subject.info.name
        verdict = verdicts[who]
        results.append(
            SpeedResult(
                subject=who,
                shape=name,
                status="mismatch" if verdict.mismatch else "measured" if who in taken else "not run",
                note=verdict.note or subject.remark(shape.info),
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


def _judge(vectors: np.ndarray, expected: np.ndarray | None, subject: Subject, verdict: _Verdict) -> None:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1) < _UNIT).all():
        verdict.mismatch, verdict.note = True, "gives embeddings that are not of unit length"
    if subject.thresholds is None:
        return
    if expected is None:
        verdict.note = verdict.note or "not compared: the reference cannot do this work"
        return
    found = verdict.found = diff(vectors, expected, subject.thresholds)
    if not found:
        verdict.mismatch = True
        verdict.note = f"embeddings differ: {found}"


def _time(
    processes: dict[str, SubjectProcess],
    verdicts: Mapping[str, _Verdict],
    seconds: float,
    name: str,
    progress: Progress,
) -> dict[str, list[float]]:
    """Seconds of every run. If a subject fails, it is left out, and the others begin again."""
    while processes:
        failed = ""

        def clock(who: str) -> float:
            nonlocal failed
            failed = who
            return processes[who].seconds()

        clocks = {who: lambda who=who: clock(who) for who in processes}  # type: ignore[misc]
        try:
            first = in_turn(clocks, repeats=1)
            once = sum(runs[0] for runs in first.values())
            repeats = int(np.clip(seconds / once, FEWEST, MOST))
            progress.begin(f"{name} tokens: {repeats} runs each", repeats * len(processes))
            progress.advance(len(processes))
            rest = in_turn(clocks, repeats=repeats - 1, on_run=lambda: progress.advance(1))
            return {who: first[who] + rest[who] for who in processes}
        except LamError as error:
            verdicts[failed].note = str(error)
            processes.pop(failed).close()
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
