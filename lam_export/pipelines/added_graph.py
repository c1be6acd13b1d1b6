"""Add the mixed-precision graph to a bundle that lacks it, after comparing the graph with the reference."""

import tempfile
from pathlib import Path

from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.bundles.manifest import Manifest
from lam_engines.bundles.writing import extend_bundle, write_manifest
from lam_engines.contract import FP16_MODEL, MODEL, TOKEN_EMBEDDINGS, TOKENIZER
from lam_engines.errors import BundleError
from lam_engines.progress import Progress
from lam_export.evidence.same_model import encoder_of
from lam_export.export.graphs import ExportError, write_graphs
from lam_export.export.mixed_precision import half_precision
from lam_export.export.operators import fused_layers
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.checkpoint import Checkpoint
from lam_export.validate.parity import check_parity

from .inputs import teacher_source


def add_fp16_graph(
    bundle: Bundle,
    checkpoint: Checkpoint,
    *,
    verbose: bool = False,
    progress: Progress = Progress(),
) -> Bundle:
    """Trace ``model.fp16.onnx`` as ``lam-export onnx --precision fp16`` does, compare it, and add it to the bundle.

    Args:
        bundle: a bundle with ``model.onnx``. The new graph gets the same opset and outputs.
        checkpoint: the checkpoint that the bundle was made from.
        verbose: show the exporter's and Polygraphy's messages.
        progress: told of each step.

    Returns:
        The extended bundle.

    Raises:
        BundleError: the bundle was made from another checkpoint, or cannot be written.
        LamError: the bundle's form is unknown.
        ExportError: the graph does not match the reference; the bundle is unchanged.
    """
    manifest = bundle.manifest
    _check_source(bundle, checkpoint)
    like = manifest.graphs[bundle.graph("fp32")]
    progress.begin("tracing the encoder in mixed precision", None)
    encoder = encoder_of(bundle, checkpoint)
    token_embeddings = TOKEN_EMBEDDINGS in {output.name for output in like.outputs}
    model = onnx_from_encoder(
        half_precision(encoder), opset=like.opset, token_embeddings=token_embeddings, verbose=verbose
    )
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder)
        (draft / TOKENIZER).write_bytes(bundle.read(TOKENIZER))
        graphs = write_graphs({FP16_MODEL: model}, draft, layers=fused_layers(encoder))
        files = {name: file_entry(draft / name) for name in (FP16_MODEL, TOKENIZER)}
        alone = manifest.model_copy(update={"files": files, "graphs": graphs, "plans": {}, "timing_cache": {}})
        write_manifest(draft, alone)
        report = check_parity(Bundle(draft), encoder, progress=progress, verbose=verbose)
        content = (draft / FP16_MODEL).read_bytes()
    worst = report.worst()
    if not report.passed:
        figures = worst[FP16_MODEL]
        raise ExportError(
            f"the mixed-precision graph does not match the reference and was not added: max-abs "
            f"{figures['max_abs']:.1e}, cosine {figures['cosine']:.7f}; use {MODEL} instead: lam-export trt --fp32"
        )

    def change(current: Manifest) -> Manifest:
        return current.model_copy(
            update={"graphs": current.graphs | graphs, "parity": current.parity | worst}  # worst: the new graph's alone
        )

    return extend_bundle(bundle.path, {FP16_MODEL: content}, change)


def _check_source(bundle: Bundle, checkpoint: Checkpoint) -> None:
    manifest = bundle.manifest
    teacher = teacher_source(checkpoint)
    found = checkpoint.sha256, teacher and teacher.sha256
    if found != (manifest.checkpoint.sha256, manifest.teacher and manifest.teacher.sha256):
        and_teacher = "" if manifest.teacher is None else f" and the teacher {manifest.teacher.file}"
        raise BundleError(
            f"expected the checkpoint that {bundle.path} was made from, {manifest.checkpoint.file}{and_teacher}, found "
            f"other files; name those with --checkpoint and --teacher"
        )
