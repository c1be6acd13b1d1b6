"""``lam-export onnx``: export a checkpoint, and write its bundle only if it matches the reference."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.bundles.manifest import Manifest, ModelInfo, Source
from lam_engines.bundles.whole import check_place
from lam_engines.bundles.writing import BUNDLE, write_bundle, write_manifest
from lam_engines.contract import (
    FP16_MODEL,
    GRAPHS,
    INLINED_MODEL,
    INT8_MODEL,
    MODEL,
    STREAM_MODEL,
    TOKENIZER,
    TOKENIZER_CONFIG,
)
from lam_engines.errors import LamError
from lam_engines.progress import Progress
from lam_engines.runtimes.registry import one_of
from lam_export.export.opsets import DEFAULT_OPSET, check_opset
from lam_export.requirements import require_export

from .inputs import read_checkpoint, teacher_source

if TYPE_CHECKING:
    import onnx

    from lam_engines.embedding.tokenizer import Tokenizer
    from lam_export.model.checkpoint import Checkpoint
    from lam_export.model.encoder import Encoder
    from lam_export.validate.parity import ParityReport

_CALIBRATION = (300, 1000)
"""Tokens of the texts that an int8 graph is calibrated on."""
_MAX_CHUNK_SIZE = 65536


@dataclass(frozen=True)
class ExportedBundle:
    """What :func:`export_onnx` wrote."""

    bundle: Bundle
    parity: "ParityReport"
    """The comparisons with the reference. All of them passed."""


def export_onnx(
    checkpoint: "Checkpoint | Path | str",
    output: Path | str,
    *,
    teacher: Path | str | None = None,
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
    progress: Progress = Progress(),
) -> ExportedBundle:
    """Export a checkpoint to a bundle. It is written only if it matches the float64 reference.

    Example:
        ```python
        exported = lam_export.export_onnx("my-checkpoint", "my-model", precisions=["fp16"])
        exported.bundle.path, exported.parity.worst()
        ```

    Args:
        checkpoint: its folder or weights file, or what ``load_checkpoint`` read.
        output: the bundle's folder.
        teacher: the checkpoint's teacher (a BERT); needed only if the checkpoint lacks weights or the tokenizer.
        form: the form of the delta rule that the model was trained in: ``flat``, ``recurrent`` or ``parallel``.
        chunk_size: tokens in a chunk, as the model was trained; if left out, the form's default.
        opset: the graph's ONNX opset, 18 to 23.
        token_embeddings: add the output ``token_embeddings``; the int8 graph never has it, see :func:`int8_model`.
        inline: also write ``model.inlined.onnx``, for runtimes without local functions.
        stream: also write ``model.stream.onnx``; only in the form ``recurrent``.
        precisions: also write the graphs of these precisions: ``fp16``, the mixed-precision graph for GPUs, and
            ``int8``, the quantised graph for CPUs. ``fp32`` is always written.
        keep_fp32: parts that stay float32 in the fp16 graph, as ``lam-export validate --bisect`` names them.
        force: replace an existing bundle.
        verbose: show the exporter's and Polygraphy's messages.
        progress: told of each step.

    Raises:
        LamError: an option has a wrong value, two options exclude each other, or a package is missing.
        CheckpointError: there is no checkpoint, it is broken, or it has no tokenizer.
        ExportError: the exported graph is not valid or does not match the reference; nothing was written.
        BundleError: ``output`` is taken or cannot be written.
    """
    _check_precisions(precisions, keep_fp32)
    check_opset(opset)
    check_place(Path(output), BUNDLE, force)  # fail now rather than after minutes of work
    progress.begin("reading the checkpoint", None)
    require_export()
    _check_form(form, chunk_size, stream)
    from lam_engines.embedding.tokenizer import Tokenizer
    from lam_export.evidence.provenance import tools
    from lam_export.export.graphs import ExportError, write_graphs
    from lam_export.export.operators import fused_layers
    from lam_export.model.checkpoint import CheckpointError
    from lam_export.model.encoder import Encoder
    from lam_export.validate.parity import check_parity

    source = read_checkpoint(checkpoint, teacher)
    if source.tokenizer is None:
        raise CheckpointError(
            f"expected tokenizer.json beside {source.weights}, found none; name a teacher with one: --teacher DIR"
        )
    tokenizer = Tokenizer(source.tokenizer.read_bytes(), source.config.vocab_size)
    encoder = Encoder(source, form=form, chunk_size=chunk_size)
    with write_bundle(output, force=force) as (draft, commit):
        models = _traced(
            encoder,
            tokenizer,
            opset=opset,
            token_embeddings=token_embeddings,
            inline=inline,
            stream=stream,
            precisions=precisions,
            keep_fp32=keep_fp32,
            verbose=verbose,
            progress=progress,
        )
        progress.begin("checking and writing the graph", None)
        graphs = write_graphs(models, draft, layers=fused_layers(encoder))
        del models
        (draft / TOKENIZER).write_text(tokenizer.to_json(), encoding="utf-8")
        (draft / TOKENIZER_CONFIG).write_text(tokenizer.to_config(source.config.pad_token_id), encoding="utf-8")
        manifest = Manifest(
            format_version=1,
            model=ModelInfo.model_validate(source.config.to_dict()),
            form=form,
            chunk_size=encoder.chunk_size,
            checkpoint=Source(file=source.weights.name, sha256=source.sha256),
            teacher=teacher_source(source),
            files={name: file_entry(draft / name) for name in (*graphs, TOKENIZER, TOKENIZER_CONFIG)},
            graphs=graphs,
            max_tokens_tested=0,
            parity={},
            tools=tools(),
        )
        write_manifest(draft, manifest)
        report = check_parity(Bundle(draft), encoder, progress=progress, verbose=verbose)
        if not report.passed:
            raise ExportError(_failure(report))
        commit(manifest.model_copy(update={"max_tokens_tested": report.max_tokens, "parity": report.worst()}))
    return ExportedBundle(Bundle(Path(output).resolve()), report)


def _check_precisions(precisions: Collection[str], keep_fp32: Collection[str]) -> None:
    if isinstance(precisions, str) or isinstance(keep_fp32, str):
        raise LamError("expected a list of precisions and of parts to keep in fp32, found a single string")
    if unknown := sorted(set(precisions) - set(GRAPHS)):
        raise LamError(f"expected precision {one_of(tuple(GRAPHS))}, found {', '.join(unknown)}")
    if keep_fp32 and "fp16" not in precisions:
        raise LamError(
            "expected precision fp16 with parts to keep in fp32, found it missing; add --precision fp16, or leave "
            "--keep-fp32 out"
        )


def _check_form(form: str, chunk_size: int | None, stream: bool) -> None:
    from lam_export.model.forms import CHUNK_SIZES, FORMS

    if form not in FORMS:
        raise LamError(f"expected form {one_of(FORMS)}, found {form!r}")
    if CHUNK_SIZES[form] is None and chunk_size is not None:
        raise LamError(
            f"expected no chunk size with the form {form}, which has no chunks, found {chunk_size}; leave it out"
        )
    if chunk_size is not None and not 1 <= chunk_size <= _MAX_CHUNK_SIZE:
        raise LamError(f"expected chunk size 1 to {_MAX_CHUNK_SIZE}, found {chunk_size}")
    if stream and form != "recurrent":
        why = "streams with its graph as it is" if form == "flat" else "needs the whole text at once"
        raise LamError(
            f"expected stream with the form recurrent, found it with the form {form}, which {why}; leave it out"
        )


def _traced(
    encoder: "Encoder",
    tokenizer: "Tokenizer",
    *,
    opset: int,
    token_embeddings: bool,
    inline: bool,
    stream: bool,
    precisions: Collection[str],
    keep_fp32: Collection[str],
    verbose: bool,
    progress: Progress,
) -> "dict[str, onnx.ModelProto]":
    """The models, by their file names in the bundle."""
    from functools import partial

    from lam_export.evidence.cases import parity_cases
    from lam_export.export.graphs import inlined
    from lam_export.export.int8 import int8_model
    from lam_export.export.mixed_precision import half_precision
    from lam_export.export.stream import onnx_from_stream
    from lam_export.export.trace import onnx_from_encoder

    trace = partial(onnx_from_encoder, opset=opset, token_embeddings=token_embeddings, verbose=verbose)
    progress.begin("tracing the encoder", None)
    models = {MODEL: trace(encoder)}
    if stream:
        progress.begin("tracing the encoder for streams", None)
        models[STREAM_MODEL] = onnx_from_stream(encoder, opset=opset, verbose=verbose)
    if "fp16" in precisions:
        progress.begin("tracing the encoder in mixed precision", None)
        models[FP16_MODEL] = trace(half_precision(encoder, keep_fp32))
    if "int8" in precisions:
        progress.begin("quantising to int8", None)
        cases = parity_cases(tokenizer, encoder.config.pad_token_id, _CALIBRATION)[: len(_CALIBRATION)]
        models[INT8_MODEL] = int8_model(models[MODEL], [case.feed for case in cases])
    if inline:
        models[INLINED_MODEL] = inlined(models[MODEL])
    return models


def _failure(report: "ParityReport") -> str:
    row = next(row for row in report.rows if not row.diff)
    remedy = (
        "leave out --precision int8: int8 is too coarse for this model"
        if row.graph == INT8_MODEL
        else "try another --opset"
    )
    return (
        f"the export does not match the reference and was not written: {row.graph}, {row.output}, {row.case}: "
        f"{row.thresholds.beside(row.diff)}; {remedy}"
    )
