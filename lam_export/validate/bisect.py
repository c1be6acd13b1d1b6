"""Find the parts that must stay in float32 for a mixed-precision graph to pass."""

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
    """The result of :func:`precision_search`."""

    all_half: EmbeddingDiff
    """The worst row with every part in float16."""
    alone: tuple[tuple[str, EmbeddingDiff], ...]
    """For each part, the worst row with only that part in float16. The most harmful part comes first.

    It is empty if ``all_half`` passes.
    """
    keep: tuple[str, ...] | None
    """Parts to keep in float32 so that the graph passes. Each of them is needed. None if the graph cannot pass."""
    proposed: EmbeddingDiff
    """The worst row with the parts of ``keep`` in float32, or with all parts in float32 if the graph cannot pass."""


def precision_search(
    encoder: Encoder, cases: Sequence[Case], thresholds: Thresholds, progress: Progress = Progress()
) -> PrecisionSearch:
    """Find a smallest set of parts to keep in float32.

    The search runs in PyTorch for two reasons. PyTorch computes float16 products in float16, while ONNX Runtime on a
    CPU computes them in float32. And no trial needs an export.

    The parts are ranked by the harm that each does alone. A binary search finds the shortest head of that ranking with
    which the thresholds hold. Then every part that is not needed is removed again. So each part of the result is
    needed, but another set may be smaller: finding the smallest would take 2^n runs.

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
    """Export the mixed-precision graph with these parts in float32, and find its worst row on a CPU.

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
    """The ratio of the error to the allowed error, by the measure for which it is larger."""
    distance, allowed = 1 - found.cosine, max(1 - thresholds.cosine, np.finfo(np.float64).eps)
    excess = max(found.max_abs / thresholds.max_abs, distance / allowed)
    return float("inf") if np.isnan(found.max_abs + found.cosine) else excess


@torch.inference_mode()
def _run(encoder: Encoder, cases: Sequence[Case]) -> list[np.ndarray]:
    return [
        encoder(torch.from_numpy(case.input_ids), torch.from_numpy(case.attention_mask))[0].double().numpy()
        for case in cases
    ]
