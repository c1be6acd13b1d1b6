"""Who is profiled: a bundle in its engines, and its checkpoint in PyTorch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import LamError
from lam_export.evidence.entrants import chosen_engines, engine_entrant, pytorch_entrant, thresholds_of
from lam_export.evidence.metrics import Thresholds
from lam_export.evidence.schema import EntrantInfo

from .measure import Embed, Profiler

PYTORCH = "pytorch"
_OWN = {"tensorrt": "fp16"}
"""Precisions of engines where none is named; fp32 of the others."""


@dataclass(frozen=True)
class Subject:
    """One that is profiled."""

    info: EntrantInfo
    thresholds: Thresholds
    plain: Embed
    """``[B, L]`` ids to ``[B, hidden]``, as it serves."""
    profiler: Callable[[Path], Profiler]
    """Loads the same with a record; the path is an empty folder."""


@dataclass(frozen=True)
class Checkpoint:
    """Where PyTorch's model is found."""

    path: Path
    teacher: Path | None = None


def chosen(
    bundle: Bundle,
    engines: Sequence[str] | None,
    precisions: Sequence[str] | None,
    checkpoint: Checkpoint | None,
) -> list[tuple[str, str]]:
    """Engine and precision of those that the user named.

    Args:
        bundle: an open bundle.
        engines: names; ONNX Runtime if nothing is named.
        precisions: of the bundle's graphs or plans; each engine's own if nothing is named.
        checkpoint: for PyTorch.

    Raises:
        LamError: one that was named is not there, or PyTorch was and there is no checkpoint.
    """
    wanted = list(dict.fromkeys(engines or ["onnxruntime"]))
    if PYTORCH in wanted and checkpoint is None:
        raise LamError("--engine pytorch needs the checkpoint; name it: --checkpoint CHECKPOINT")
    found = [(PYTORCH, "fp32")] if PYTORCH in wanted else []
    others = [engine for engine in wanted if engine != PYTORCH]
    if precisions and others:
        return chosen_engines(bundle, others, precisions) + found
    for engine in reversed(others):
        found = chosen_engines(bundle, [engine], [_OWN.get(engine, "fp32")]) + found
    return found


@contextmanager
def opened(
    bundle: Bundle, engine: str, precision: str, checkpoint: Checkpoint | None, threads: int
) -> Iterator[Subject]:
    """Load one of those that were chosen.

    Raises:
        LamError: it cannot be loaded.
    """
    if engine == PYTORCH and checkpoint is not None:
        yield _pytorch(bundle, checkpoint, threads)
        return
    entrant = engine_entrant(bundle, engine, precision, threads=threads)

    def profiler(scratch: Path) -> Profiler:
        if engine == "openvino":
            from .openvino import OpenVinoProfiler

            return OpenVinoProfiler(bundle, threads)
        if engine == "tensorrt":
            from .tensorrt import TensorRtProfiler

            return TensorRtProfiler(bundle, precision)
        from .onnxruntime import OnnxRuntimeProfiler

        return OnnxRuntimeProfiler(bundle, precision, threads, scratch)

    with entrant.load() as loaded:
        yield Subject(entrant.info, thresholds_of(precision), loaded.embed_ids, profiler)


def _pytorch(bundle: Bundle, checkpoint: Checkpoint, threads: int) -> Subject:
    import torch

    from lam_export.evidence.references import encoder_of
    from lam_export.model.checkpoint import load_checkpoint

    from .pytorch import PyTorchProfiler

    loaded = load_checkpoint(checkpoint.path, checkpoint.teacher)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    entrant = pytorch_entrant(
        bundle, checkpoint.path, checkpoint.teacher, loaded.sha256, compiled=False, threads=threads
    )
    make = partial(PyTorchProfiler, encoder_of(bundle, loaded), device, threads)
    name = entrant.info.name + (" on CUDA" if device == "cuda" else "")
    info = entrant.info.model_copy(update={"name": name})
    return Subject(info, thresholds_of("fp32"), make().plain, lambda scratch: make())
