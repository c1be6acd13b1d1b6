"""Measure one engine at one shape: compare its embeddings, then time plain and profiled runs in turn."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lam_engines.errors import LamError
from lam_export.anatomy.parts import Part, Place
from lam_export.bench.timing import REST, in_turn, seconds_of
from lam_export.evidence.metrics import THRESHOLDS, diff
from lam_export.evidence.subject import Subject

from .recorders.recorder import Recorder
from .recorders.samples import Run
from .schema import Cell, ProfileResult

FEWEST, MOST = 5, 50

Embed = Callable[[np.ndarray], np.ndarray]
"""A function that embeds ids ``[B, L]`` to ``[B, hidden]`` as a subject serves."""


def measure(
    subject: Subject,
    plain: Embed,
    recorder: Callable[[Path], Recorder],
    ids: np.ndarray,
    expected: np.ndarray,
    *,
    seconds: float,
) -> ProfileResult:
    """Compare a subject's embeddings with the reference's, then time the subject.

    Args:
        subject: what is measured.
        plain: embeds as the subject serves.
        recorder: loads the subject once more with its recorder. The path is an empty folder.
        ids: ``[B, L]`` int64.
        expected: the reference's embeddings, ``[B, hidden]``.
        seconds: about how long to measure. There are at least :data:`FEWEST` plain and as many profiled runs.
    """
    about: dict[str, Any] = {"status": "not run", "note": "", "max_abs": None, "cosine": None}
    times: dict[str, Any] = {"plain": (), "profiled": (), "cells": ()}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            recorded = recorder(Path(scratch))
            for which, embed in (("", plain), ("profiled ", recorded.record)):
                found = diff(embed(ids), expected, subject.thresholds or THRESHOLDS["fp32"])
                about |= {"max_abs": found.max_abs, "cosine": found.cosine}
                if not found:
                    about |= {"status": "mismatch", "note": f"{which}embeddings differ: {found}"}
                    break
            else:
                times = _timed(plain, recorded, ids, seconds)
                about["status"] = "measured"
    except LamError as error:
        about["note"] = str(error)
    texts, tokens = ids.shape
    return ProfileResult(subject=subject.info.name, shape=f"{texts} x {tokens:,}", **about, **times)


def _timed(plain: Embed, recorder: Recorder, ids: np.ndarray, seconds: float) -> dict[str, Any]:
    calls = {"plain": plain, "profiled": recorder.record}
    clocks = {name: partial(seconds_of, partial(call, ids), REST) for name, call in calls.items()}
    once = sum(runs[0] for runs in in_turn(clocks, repeats=1).values())
    repeats = int(np.clip(seconds / once, FEWEST, MOST))
    taken = in_turn(clocks, repeats=repeats)
    runs = recorder.runs()[-repeats:]
    cells, operations = summed(runs)
    profiled = tuple(run.seconds for run in runs)  # without starting and ending the record
    return {"plain": tuple(taken["plain"]), "profiled": profiled, "cells": cells, "operations": operations}


def summed(runs: Sequence[Run]) -> tuple[tuple[Cell, ...], dict[Part, float]]:
    """Time by part, layer and kind of operator, and the arithmetic of each part.

    The sums add up the median of each operator over the runs, so a moment in which the machine did something else does
    not count. The median of the time outside all operators goes to the part ``runtime``.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    samples = {}
    for run in runs:
        for sample in run.samples:
            seconds[sample.name].append(sample.seconds)
            samples[sample.name] = sample
    sums: dict[tuple[Place, str], list[float]] = defaultdict(list)
    operations: dict[Part, float] = defaultdict(float)
    for name, sample in samples.items():
        sums[sample.place, sample.kind].append(median(seconds[name]))
        if sample.operations is not None:
            operations[sample.place.part] += sample.operations
    rest = median(max(0.0, run.seconds - sum(sample.seconds for sample in run.samples)) for run in runs)
    sums[Place("runtime"), "–"] = [rest]
    cells = tuple(
        Cell(part=place.part, layer=place.layer, operator=kind, count=len(found), seconds=sum(found))
        for (place, kind), found in sums.items()
    )
    return cells, dict(operations)
