"""Which parts must stay in float32 for a mixed-precision graph to pass?"""

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lam_engines.contract import SENTENCE_EMBEDDING
from lam_engines.progress import Progress
from lam_export.evidence.cases import Case
from lam_export.evidence.metrics import EmbeddingDiff, Thresholds, diff
from lam_export.export.mixed_precision import half_parts, half_precision
from lam_export.model.encoder import Encoder


@dataclass(frozen=True)
class PrecisionSearch:
    """What :func:`precision_search` found."""

    all_half: EmbeddingDiff
    """The worst row with every part in float16."""
    alone: tuple[tuple[str, EmbeddingDiff], ...]
    """The worst row with only that part in float16, the part that harms most first; empty if ``all_half`` passes."""
    keep: tuple[str, ...] | None
    """Parts to keep in float32: with them the graph passes, and with none of them left out. None if it cannot pass."""
    proposed: EmbeddingDiff
    """The worst row with those parts in float32 (with all of them, if it cannot pass)."""


def precision_search(
    encoder: Encoder, cases: Sequence[Case], thresholds: Thresholds, progress: Progress = Progress()
) -> PrecisionSearch:
    """Find a smallest set of parts to keep in float32.

    Runs in PyTorch, where half is half (ONNX Runtime on a CPU computes float16 products in float32), and where no trial
    needs an export. Parts are ranked by the harm that each does alone; the shortest head of that list with which the
    thresholds hold is found by halving, and then every part that is not needed is taken out of it again. So no part of
    the result can be spared, though another set might be smaller still: trying all of them would take 2^n runs.

    Args:
        encoder: the reference in float32; not changed.
        cases: what to compare on.
        thresholds: what the worst row of every case must hold.
        progress: told what is being run.
    """
    progress.begin("running the reference in PyTorch, float64", None)
    expected = _run(copy.deepcopy(encoder).double(), cases)

    def worst(keep: Collection[str]) -> EmbeddingDiff:
        return _worst(_run(half_precision(encoder, keep), cases), expected, thresholds)

    parts = half_parts(encoder)
    progress.begin("all parts in float16", None)
    all_half = worst(())
    if all_half:
        return PrecisionSearch(all_half, (), (), all_half)
    progress.begin("all parts in float32", None)
    if not (single := worst(parts)):
        return PrecisionSearch(all_half, (), None, single)
    alone = []
    for i, part in enumerate(parts):
        progress.begin(f"{part} alone in float16 ({i + 1} of {len(parts)})", None)
        alone.append((part, worst(set(parts) - {part})))
    alone.sort(key=lambda item: -_excess(item[1], thresholds))

    ranked = [part for part, _ in alone]
    fails, passes = 0, len(ranked)
    while passes - fails > 1:
        middle = (fails + passes) // 2
        progress.begin(f"keeping the worst {middle} in float32", None)
        if worst(ranked[:middle]):
            passes = middle
        else:
            fails = middle
    keep = ranked[:passes]
    for part in keep[::-1]:
        progress.begin(f"can {part} be spared?", None)
        without = [other for other in keep if other != part]
        if worst(without):
            keep = without
    return PrecisionSearch(all_half, tuple(alone), tuple(p for p in parts if p in keep), worst(keep))


def in_onnxruntime(
    encoder: Encoder, keep: Collection[str], cases: Sequence[Case], thresholds: Thresholds
) -> EmbeddingDiff:
    """Export the mixed-precision graph with these parts in float32, and compare it on a CPU; the worst row.

    Args:
        encoder: the reference in float32; not changed.
        keep: names of :func:`half_parts`.
        cases: what to compare on.
        thresholds: what the worst row must hold.
    """
    import onnxruntime

    from lam_export.export.trace import onnx_from_encoder

    model = onnx_from_encoder(half_precision(encoder, keep)).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = [session.run([SENTENCE_EMBEDDING], dict(case.feed))[0] for case in cases]
    return _worst(found, _run(copy.deepcopy(encoder).double(), cases), thresholds)


def _worst(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], thresholds: Thresholds) -> EmbeddingDiff:
    diffs = [diff(f, e, thresholds) for f, e in zip(found, expected, strict=True)]
    return max(diffs, key=lambda d: _excess(d, thresholds))


def _excess(found: EmbeddingDiff, thresholds: Thresholds) -> float:
    """How many times as large as allowed the error is, by the measure that is worse."""
    distance, allowed = 1 - found.cosine, max(1 - thresholds.cosine, np.finfo(np.float64).eps)
    excess = max(found.max_abs / thresholds.max_abs, distance / allowed)
    return float("inf") if np.isnan(found.max_abs + found.cosine) else excess


@torch.inference_mode()
def _run(encoder: Encoder, cases: Sequence[Case]) -> list[np.ndarray]:
    return [
        encoder(torch.from_numpy(case.input_ids), torch.from_numpy(case.attention_mask))[0].double().numpy()
        for case in cases
    ]
