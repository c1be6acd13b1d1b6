"""A checkpoint to the bundle of a memory that was seen to equal the reference; one that does not is not written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.bundles.manifest import Manifest, ModelInfo, Source
from lam_engines.bundles.writing import write_bundle, write_manifest
from lam_engines.contract import MEMORY_MODEL
from lam_engines.memories.state import INPUTS, OUTPUTS, PAST, PRESENT
from lam_engines.runtimes.onnxruntime.session import session_options
from lam_export.evidence.metrics import Thresholds, row_errors
from lam_export.export.graphs import ExportError, write_graphs
from lam_export.export.memory_step import onnx_from_memory
from lam_export.export.trace import DEFAULT_OPSET
from lam_export.model.checkpoint import Checkpoint, sha256_of
from lam_export.model.memory_step import Memory

from .verified_export import versions

THRESHOLDS = Thresholds(max_abs=5e-5, cosine=0.99999)
STEPS = 300
"""Stores of the comparison, each followed by a recall."""


def export_verified_memory(
    checkpoint: Checkpoint,
    output: Path | str,
    *,
    layer: int | None = None,
    opset: int = DEFAULT_OPSET,
    force: bool = False,
    verbose: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> Bundle:
    """Export one layer as a memory, compare it with the float64 reference, and only then put the bundle in its place.

    Args:
        checkpoint: what :func:`load_checkpoint` read.
        output: the bundle's folder.
        layer: from 0; the last if left out.
        opset: of the graph, 18 to 23.
        force: replace a bundle that is there.
        verbose: let the exporter's messages through.
        on_step: told of each step as it begins.

    Returns:
        The bundle; its manifest has the worst figures of the comparison as ``parity``.

    Raises:
        CheckpointError: there is no such layer.
        ExportError: the graph is not valid or does not match the reference; nothing was written.
        BundleError: ``output`` is taken or cannot be written.
    """
    memory = Memory(checkpoint, layer)
    with write_bundle(output, force=force) as (draft, commit):
        on_step("tracing the memory")
        graphs = write_graphs({MEMORY_MODEL: onnx_from_memory(memory, opset=opset, verbose=verbose)}, draft, layers=0)
        on_step(f"comparing: {STEPS} stores and recalls")
        with _one_thread():
            worst = compare((draft / MEMORY_MODEL).read_bytes(), memory)
        if not (worst["max_abs"] <= THRESHOLDS.max_abs and worst["cosine"] >= THRESHOLDS.cosine):
            raise ExportError(
                f"the export does not match the reference and was not written: {MEMORY_MODEL}: max-abs "
                f"{worst['max_abs']:.1e} (at most {THRESHOLDS.max_abs:.0e}), cosine {worst['cosine']:.7f} (at least "
                f"{THRESHOLDS.cosine}); try another --opset"
            )
        teacher = checkpoint.teacher
        manifest = Manifest(
            format_version=1,
            model=ModelInfo.model_validate(checkpoint.config.to_dict()),
            form="memory",
            chunk_size=None,
            memory_layer=memory.layer,
            checkpoint=Source(file=checkpoint.weights.name, sha256=checkpoint.sha256),
            teacher=None if teacher is None else Source(file=teacher.name, sha256=sha256_of(teacher)),
            files={MEMORY_MODEL: file_entry(draft / MEMORY_MODEL)},
            graphs=graphs,
            max_tokens_tested=0,
            parity={MEMORY_MODEL: worst},
            tools=versions(),
        )
        write_manifest(draft, manifest)
        commit(manifest)
    return Bundle(Path(output).resolve(), kind="memory")


@contextmanager
def _one_thread() -> Iterator[None]:
    """For products so small that threads only wait for each other: ten times faster on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def compare(graph: bytes, memory: Memory) -> dict[str, float]:
    """Run a graph in ONNX Runtime beside the reference, for :data:`STEPS` stores from an empty memory on.

    Two memories are a batch: one gets vectors of unit length, as embeddings are, the other vectors of a hidden state's
    length, and skips every third store. Each hands its own state on.

    Args:
        graph: a serialised ONNX model.
        memory: the reference; turned to float64 in place.

    Returns:
        The worst row's ``max_abs`` and ``relative_rms`` (both relative to the row's length) and ``cosine``, over all
        outputs and steps.
    """
    session = onnxruntime.InferenceSession(graph, session_options(1), providers=["CPUExecutionProvider"])
    reference = memory.double()
    hidden = memory.heads * memory.head_size
    random = np.random.default_rng(0)
    lengths = np.array([[1.0], [hidden**0.5 / 2]])
    expected = [part.numpy() for part in reference.empty(2)]
    state = [part.astype(np.float32) for part in expected]
    worst = {"max_abs": 0.0, "relative_rms": 0.0, "cosine": 1.0}
    for step in range(STEPS):
        vectors = random.standard_normal((4, 2, hidden))
        vectors = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True) * lengths).astype(np.float32)
        flag = np.array([[True], [step % 3 != 2]])
        given = [vectors[0], vectors[1], vectors[2:].swapaxes(0, 1), flag]
        feed = dict(zip([*INPUTS, *PAST], [*given, *state], strict=True))
        found = session.run([*OUTPUTS, *PRESENT], feed)
        wide = [
            torch.from_numpy(array) for array in (*(part.astype(np.float64) for part in given[:3]), flag, *expected)
        ]
        right = [part.numpy() for part in reference(*wide)]
        state, expected = found[len(OUTPUTS) :], right[len(OUTPUTS) :]
        for mine, theirs in zip(found, right, strict=True):
            errors = row_errors(mine.reshape(2, -1), theirs.reshape(2, -1))
            worst["max_abs"] = max(worst["max_abs"], float(errors.max_abs.max()))
            worst["relative_rms"] = max(worst["relative_rms"], float(errors.relative_rms.max()))
            worst["cosine"] = min(worst["cosine"], float(errors.cosine.min()))
    return worst
