"""A checkpoint to a bundle that was seen to equal the reference; one that does not is not written."""

import platform
from collections.abc import Callable, Collection
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.bundles.manifest import Manifest, ModelInfo, Source
from lam_engines.bundles.writing import write_bundle, write_manifest
from lam_engines.contract import FP16_MODEL, INLINED_MODEL, INT8_MODEL, MODEL, STREAM_MODEL, TOKENIZER
from lam_engines.embedding.tokenizer import Tokenizer
from lam_export import __version__
from lam_export.evidence.cases import parity_cases
from lam_export.export.graphs import ExportError, inlined, write_graphs
from lam_export.export.int8 import int8_model
from lam_export.export.mixed_precision import half_precision
from lam_export.export.operators import fused_layers
from lam_export.export.stream import onnx_from_stream
from lam_export.export.trace import DEFAULT_OPSET, onnx_from_encoder
from lam_export.model.checkpoint import Checkpoint, CheckpointError, sha256_of
from lam_export.model.encoder import Encoder
from lam_export.validate.parity import ParityReport, check_parity

_CALIBRATION = (300, 1000)
"""Tokens of the texts that an int8 graph is fitted to."""
_TOOLS = ("torch", "onnx", "onnxscript", "onnx_ir", "onnxruntime", "polygraphy", "tokenizers", "numpy")


def export_verified_bundle(
    checkpoint: Checkpoint,
    output: Path | str,
    *,
    form: str = "flat",
    chunk_size: int | None = None,
    opset: int = DEFAULT_OPSET,
    token_embeddings: bool = False,
    inline: bool = False,
    stream: bool = False,
    precisions: Collection[str] = (),
    keep_fp32: Collection[str] = (),
    force: bool = False,
    verbose: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[Bundle, ParityReport]:
    """Export, compare with the float64 reference, and only then put the bundle in its place.

    Args:
        checkpoint: what :func:`load_checkpoint` read.
        output: the bundle's folder.
        form: of the delta rule, one of ``lam_export.model.forms.FORMS``.
        chunk_size: tokens in a chunk, as the model was trained; None is the form's own.
        opset: of the graph, 18 to 23.
        token_embeddings: give the graph that output too; not the one of int8, see :func:`int8_model`.
        inline: also write ``model.inlined.onnx``.
        stream: also write ``model.stream.onnx``, of the form ``recurrent``.
        precisions: also write the graphs of these: ``fp16``, the mixed-precision graph for GPUs, and ``int8``, the
            quantised graph for CPUs. ``fp32`` is always written.
        keep_fp32: parts that stay float32 in the fp16 graph, as ``lam-export validate --bisect`` names them.
        force: replace a bundle that is there.
        verbose: let the exporter's and Polygraphy's messages through.
        on_step: told of each step as it begins.

    Raises:
        CheckpointError: the checkpoint has no tokenizer.
        ExportError: the exported graph is not valid or does not match the reference; nothing was written.
        BundleError: ``output`` is taken or cannot be written.
    """
    if checkpoint.tokenizer is None:
        raise CheckpointError(
            f"expected tokenizer.json beside {checkpoint.weights}, found none; name a teacher with one: --teacher DIR"
        )
    tokenizer = Tokenizer(checkpoint.tokenizer.read_bytes(), checkpoint.config.vocab_size)
    with write_bundle(output, force=force) as (draft, commit):
        on_step("tracing the encoder")
        encoder = Encoder(checkpoint, form=form, chunk_size=chunk_size)
        trace = partial(onnx_from_encoder, opset=opset, token_embeddings=token_embeddings, verbose=verbose)
        models = {MODEL: trace(encoder)}
        if stream:
            on_step("tracing the encoder for streams")
            models[STREAM_MODEL] = onnx_from_stream(encoder, opset=opset, verbose=verbose)
        if "fp16" in precisions:
            on_step("tracing the encoder in mixed precision")
            models[FP16_MODEL] = trace(half_precision(encoder, keep_fp32))
        if "int8" in precisions:
            on_step("quantising to int8")
            cases = parity_cases(tokenizer, checkpoint.config.pad_token_id, _CALIBRATION)[: len(_CALIBRATION)]
            models[INT8_MODEL] = int8_model(models[MODEL], [case.feed for case in cases])
        on_step("checking and writing the graph")
        if inline:
            models[INLINED_MODEL] = inlined(models[MODEL])
        graphs = write_graphs(models, draft, layers=fused_layers(encoder))
        del models
        (draft / TOKENIZER).write_text(tokenizer.to_json(), encoding="utf-8")
        manifest = Manifest(
            format_version=1,
            model=ModelInfo.model_validate(checkpoint.config.to_dict()),
            form=form,
            chunk_size=encoder.chunk_size,
            checkpoint=Source(file=checkpoint.weights.name, sha256=checkpoint.sha256),
            teacher=None
            if checkpoint.teacher is None
            else Source(file=checkpoint.teacher.name, sha256=sha256_of(checkpoint.teacher)),
            files={name: file_entry(draft / name) for name in (*graphs, TOKENIZER)},
            graphs=graphs,
            max_tokens_tested=0,
            parity={},
            tools=versions(),
        )
        write_manifest(draft, manifest)
        report = check_parity(
            Bundle(draft), encoder, on_step=lambda step: on_step(f"comparing: {step}"), verbose=verbose
        )
        if not report.passed:
            raise ExportError(_failure(report))
        commit(manifest.model_copy(update={"max_tokens_tested": report.max_tokens, "parity": report.worst()}))
    return Bundle(Path(output).resolve()), report


def _failure(report: ParityReport) -> str:
    row = next(row for row in report.rows if not row.diff)
    remedy = (
        "leave out --precision int8: this model does not bear it" if row.graph == INT8_MODEL else "try another --opset"
    )
    return (
        f"the export does not match the reference and was not written: {row.graph}, {row.output}, {row.case}: max-abs "
        f"{row.diff.max_abs:.1e} (at most {row.thresholds.max_abs:.0e}), cosine {row.diff.cosine:.7f} (at least "
        f"{row.thresholds.cosine}); {remedy}"
    )


def versions() -> dict[str, str]:
    """Of everything that has a part in an export."""
    found = {"lam-export": __version__, "python": platform.python_version()}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:  # onnxruntime's GPU build is another distribution
            continue
    return found
