"""The optimisation protocol: a change is kept if it keeps the score and is faster. Any other change is rejected."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import numpy as np

from lam_engines.embedding.engine import EmbeddingEngine
from lam_export.bench.timing import side_by_side
from lam_export.evidence.cases import text_of
from lam_export.evidence.metrics import Thresholds

from .history import Speed

SCORE_TOLERANCE = 0.001
"""Largest loss of STS score that a change may cost."""
SHAPES = ((1, 16), (1, 128), (32, 32), (8, 128), (1, 1024))
"""Texts and tokens of each batch that is timed: queries, bulk work, a long document."""
_RESAMPLES = 2000
_ANY = Thresholds(max_abs=math.inf, cosine=-math.inf)


def compare_speed(
    baseline: EmbeddingEngine,
    candidate: EmbeddingEngine,
    *,
    repeats: int = 15,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    on_step: Callable[[str], None] = lambda step: None,
) -> Speed:
    """Time two engines on the same tokens, in turn.

    The embeddings are not compared, because a change may move them. The STS score shows first whether they are good.

    Args:
        baseline, candidate: engines with the same tokenizer.
        repeats: timed runs of each engine for each shape.
        shapes: ``(batch, tokens)`` of each shape.
        on_step: told of each shape.

    Raises:
        ValueError: an engine gives NaN.
    """
    ratios: dict[str, np.ndarray] = {}
    for batch, tokens in shapes:
        name = f"{batch} x {tokens}"
        on_step(f"timing {name} tokens, {repeats} times each")
        ids = np.stack([text_of(baseline.tokenizer, tokens, offset=7 * i) for i in range(batch)])
        calls = {"baseline": partial(baseline.embed_ids, ids), "candidate": partial(candidate.embed_ids, ids)}
        seconds = side_by_side(calls, repeats=repeats, thresholds=_ANY)
        ratios[name] = np.divide(seconds["baseline"], seconds["candidate"])
    log_ratios = np.log(np.stack(list(ratios.values())))  # [shapes, repeats]
    draws = np.random.default_rng(0).integers(repeats, size=(_RESAMPLES, repeats))
    means = np.median(log_ratios[:, draws], axis=2).mean(axis=0)
    low, high = np.exp(np.percentile(means, [2.5, 97.5]))
    overall = math.exp(float(np.median(log_ratios, axis=1).mean()))
    speedups = {name: median(found.tolist()) for name, found in ratios.items()}
    return Speed(speedups=speedups, speedup=overall, low=float(low), high=float(high))


def objections(baseline_score: float, candidate_score: float, speed: Speed) -> tuple[str, ...]:
    """Why a change is rejected; empty if it is kept.

    A change is kept if two conditions hold. Its score is at most :data:`SCORE_TOLERANCE` below the baseline's, and the
    whole interval of its speedup is above 1.
    """
    found = []
    if candidate_score < baseline_score - SCORE_TOLERANCE:
        found.append(
            f"score {candidate_score:.4f} is {baseline_score - candidate_score:.4f} below the baseline's "
            f"{baseline_score:.4f}; at most {SCORE_TOLERANCE} may be lost"
        )
    if speed.low <= 1:
        found.append(
            f"{speed.speedup:.2f} times as fast as the baseline, with a 95 % interval of {speed.low:.2f} to "
            f"{speed.high:.2f}: not faster beyond doubt"
        )
    return tuple(found)
