"""A profile from beginning to end."""

import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.contract import MANIFEST, TOKENIZER
from lam_engines.embedding.tokenizer import Tokenizer
from lam_engines.errors import LamError
from lam_export.anatomy.parts import Part
from lam_export.evidence.cases import text_of
from lam_export.evidence.provenance import Setting, machine, tools
from lam_export.evidence.schema import EntrantInfo

from .measure import measure, summed
from .onnxruntime import OnnxRuntimeProfiler
from .schema import Profile, Result
from .subjects import Checkpoint, opened

SHAPES = ((1, 128), (32, 32), (1, 512), (1, 4096))
"""Texts and tokens of each."""


def parse_shape(given: str) -> tuple[int, int]:
    """Texts and tokens of ``32x128``.

    Raises:
        LamError: something else stands there.
    """
    found = re.fullmatch(r"(\d{1,6})x(\d{1,7})", given)
    texts, tokens = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (texts and tokens):
        raise LamError(f"expected texts x tokens like --shape 32x128, found {given!r}")
    return texts, tokens


def profiled(
    bundle: Bundle,
    setting: Setting,
    chosen: Sequence[tuple[str, str]],
    shapes: Sequence[tuple[int, int]],
    *,
    checkpoint: Checkpoint | None = None,
    seconds: float,
    begin: Callable[[str, int], None] = lambda step, pieces: None,
    advance: Callable[[int], None] = lambda done: None,
) -> Profile:
    """Profile a bundle.

    Args:
        bundle: an open bundle.
        setting: the machine before the first measurement, and the threads.
        chosen: engines and precisions.
        shapes: texts and tokens of each.
        checkpoint: of PyTorch, if it was chosen.
        seconds: about how long to measure each shape.
        begin: told of each engine that begins, with its number of shapes.
        advance: told of each shape that is done.

    Raises:
        LamError: an engine cannot be loaded.
    """
    tokenizer = Tokenizer(bundle.read(TOKENIZER), bundle.manifest.model.vocab_size)
    batches = [np.stack([text_of(tokenizer, tokens, 7 * i) for i in range(texts)]) for texts, tokens in shapes]
    entrants: list[EntrantInfo] = []
    results: list[Result] = []
    with load_engine(bundle.path, precision="fp32", threads=setting.threads) as reference:
        for engine, precision in chosen:
            begin(f"{engine} {precision}", len(batches))
            with opened(bundle, engine, precision, checkpoint, setting.threads) as subject:
                entrants.append(subject.info)
                for ids in batches:
                    expected = reference.embed_ids(ids)
                    result = measure(subject, ids, expected, seconds=seconds)
                    if result.status == "measured" and not result.operations:
                        counted = _arithmetic(bundle, ids, setting.threads)
                        result = result.model_copy(update={"operations": _of_parts(counted, result)})
                    results.append(result)
                    advance(1)
    return Profile(
        created=setting.created,
        bundle=bundle.path.resolve().name,
        manifest_sha256=file_entry(bundle.path / MANIFEST).sha256,
        machine=machine(),
        load=setting.load,
        threads=setting.threads,
        tools=tools(),
        reference="ONNX Runtime fp32",
        entrants=tuple(entrants),
        results=tuple(results),
    )


def _arithmetic(bundle: Bundle, ids: np.ndarray, threads: int) -> dict[Part, float]:
    """Additions and multiplications by part, as the exported graph does them."""
    with tempfile.TemporaryDirectory() as scratch:
        profiler = OnnxRuntimeProfiler(bundle, "fp32", threads, Path(scratch))
        profiler.record(ids)
        return summed(profiler.runs())[1]


def _of_parts(counted: dict[Part, float], result: Result) -> dict[Part, float]:
    """Where the fused operator is one kernel, what is counted inside it is its own; its norms are too few to matter."""
    if not any(cell.part == "operator" for cell in result.cells):
        return counted
    inside: tuple[Part, ...] = ("convolutions", "rule", "gates")
    operator = sum(counted.get(part, 0.0) for part in inside)
    rest: dict[Part, float] = {part: count for part, count in counted.items() if part not in inside}
    return {**rest, "operator": operator}
