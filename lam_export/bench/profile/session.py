"""Make a whole profile: choose engines, measure each of them, collect the results."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.tokenizer import tokenizer_of
from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_engines.runtimes import registry
from lam_export.anatomy.parts import Part
from lam_export.evidence.cases import text_of
from lam_export.evidence.provenance import Setting
from lam_export.evidence.subject import Subject
from lam_export.evidence.subjects.engines import chosen_engines, engine_subject
from lam_export.evidence.subjects.pytorch import CheckpointFiles, pytorch_subject
from lam_export.requirements import require

from .measure import Embed, measure, summed
from .recorders.recorder import Recorder, recorder_of
from .schema import Profile, ProfileResult

PYTORCH = "pytorch"
"""Name that users type for the checkpoint in PyTorch; runtimes have their own names."""
SHAPES = ((1, 128), (32, 32), (1, 512), (1, 4096))
"""Texts and tokens of each shape."""


def chosen(
    bundle: Bundle,
    engines: Sequence[str],
    precisions: Sequence[str] | None,
    checkpoint: CheckpointFiles | None,
) -> list[tuple[str, str]]:
    """Engine and precision of each subject that the user named.

    Args:
        bundle: an open bundle.
        engines: names of runtimes, ``auto``, and :data:`PYTORCH`.
        precisions: precisions of the bundle's graphs or plans; by default each runtime's first.
        checkpoint: needed for PyTorch.

    Raises:
        LamError: a named engine or precision does not run here, or PyTorch was named without a checkpoint.
    """
    wanted = list(dict.fromkeys(engines))
    if PYTORCH in wanted and checkpoint is None:
        raise LamError("--engine pytorch needs the checkpoint; name it: --checkpoint CHECKPOINT")
    if PYTORCH in wanted:
        require("torch", "safetensors", extra="export")
    runtimes = [engine for engine in wanted if engine != PYTORCH]
    if precisions and runtimes:
        found = chosen_engines(bundle, runtimes, precisions)
    else:
        default = [registry.choose(engine, bundle).runtime for engine in runtimes]
        found = [pair for one in default for pair in chosen_engines(bundle, [one.name], [one.precisions[0]])]
    return found + ([(PYTORCH, "fp32")] if PYTORCH in wanted else [])


def profiled(
    bundle: Bundle,
    setting: Setting,
    chosen: Sequence[tuple[str, str]],
    shapes: Sequence[tuple[int, int]] = SHAPES,
    *,
    checkpoint: CheckpointFiles | None = None,
    seconds: float,
    progress: Progress = Progress(),
) -> Profile:
    """Profile a bundle.

    Args:
        bundle: an open bundle.
        setting: the machine before the first measurement, and the threads.
        chosen: engines and precisions from :func:`chosen`.
        shapes: texts and tokens of each shape.
        checkpoint: needed if PyTorch was chosen.
        seconds: about how long to measure each shape.
        progress: told of each engine, and of each shape.

    Raises:
        LamError: an engine cannot be loaded.
    """
    tokenizer = tokenizer_of(bundle)
    batches = [np.stack([text_of(tokenizer, tokens, 7 * i) for i in range(texts)]) for texts, tokens in shapes]
    subjects: list[Subject] = []
    results: list[ProfileResult] = []
    reference = engine_subject(bundle, precision="fp32", threads=setting.threads)
    with reference.load() as right:
        for engine, precision in chosen:
            progress.begin(f"{engine} {precision}", len(batches))
            with _opened(bundle, engine, precision, checkpoint, setting.threads) as (subject, plain, recorder):
                subjects.append(subject)
                for ids in batches:
                    result = measure(subject, plain, recorder, ids, right.embed_ids(ids), seconds=seconds)
                    if result.status == "measured" and not result.operations:
                        counted = _arithmetic(bundle, ids, setting.threads)
                        result = result.model_copy(update={"operations": _of_parts(counted, result)})
                    results.append(result)
                    progress.advance(1)
    return Profile(**setting.head(bundle, subjects), reference=reference.info.name, results=tuple(results))


@contextmanager
def _opened(
    bundle: Bundle, engine: str, precision: str, checkpoint: CheckpointFiles | None, threads: int
) -> Iterator[tuple[Subject, Embed, Callable[[Path], Recorder]]]:
    """Load a chosen subject: the subject, a function that embeds as it serves, and one that loads its recorder."""
    if engine == PYTORCH and checkpoint is not None:
        yield _pytorch(bundle, checkpoint, threads)
        return
    subject = engine_subject(bundle, engine, precision, threads=threads)
    with subject.load() as loaded:
        yield subject, loaded.embed_ids, partial(recorder_of, bundle, engine, precision, threads)


def _pytorch(
    bundle: Bundle, checkpoint: CheckpointFiles, threads: int
) -> tuple[Subject, Embed, Callable[[Path], Recorder]]:
    import torch

    from lam_export.evidence.same_model import encoder_of

    from .recorders.pytorch import PyTorchRecorder

    subject = pytorch_subject(bundle, checkpoint, threads=threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        info = subject.info.model_copy(update={"name": f"{subject.info.name} on CUDA"})
        subject = Subject(info, subject.load, subject.fingerprint, subject.thresholds)
    make = partial(PyTorchRecorder, encoder_of(bundle, checkpoint.load()), device, threads)
    return subject, make().plain, lambda scratch: make()


def _arithmetic(bundle: Bundle, ids: np.ndarray, threads: int) -> dict[Part, float]:
    """Number of additions and multiplications by part in the exported graph."""
    with tempfile.TemporaryDirectory() as scratch:
        recorder = recorder_of(bundle, registry.REFERENCE, "fp32", threads, Path(scratch))
        recorder.record(ids)
        return summed(recorder.runs())[1]


def _of_parts(counted: dict[Part, float], result: ProfileResult) -> dict[Part, float]:
    """Add up the arithmetic inside the fused operator if it is one kernel. Its norms are too little to matter."""
    if not any(cell.part == "operator" for cell in result.cells):
        return counted
    inside: tuple[Part, ...] = ("convolutions", "rule", "gates")
    operator = sum(counted.get(part, 0.0) for part in inside)
    rest: dict[Part, float] = {part: count for part, count in counted.items() if part not in inside}
    return {**rest, "operator": operator}
