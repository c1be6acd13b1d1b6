"""``lam-export memory``: export a memory, and write its bundle only if it matches the reference."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.bundle import Bundle, file_entry
from lam_engines.bundles.manifest import Manifest, ModelInfo, Source
from lam_engines.bundles.whole import check_place
from lam_engines.bundles.writing import BUNDLE, write_bundle, write_manifest
from lam_engines.contract import MEMORY_MODEL
from lam_engines.progress import Progress
from lam_export.export.opsets import DEFAULT_OPSET, check_opset
from lam_export.requirements import require_export

from .inputs import read_checkpoint, teacher_source

if TYPE_CHECKING:
    from lam_export.model.checkpoint import Checkpoint


def export_memory(
    checkpoint: "Checkpoint | Path | str",
    output: Path | str,
    *,
    teacher: Path | str | None = None,
    layer: int | None = None,
    opset: int = DEFAULT_OPSET,
    force: bool = False,
    verbose: bool = False,
    progress: Progress = Progress(),
) -> Bundle:
    """Export one layer as a memory. The bundle is written only if it matches the float64 reference.

    Args:
        checkpoint: its folder or weights file, or what ``load_checkpoint`` read.
        output: the bundle's folder.
        teacher: the checkpoint's teacher (a BERT); needed only if the checkpoint lacks weights or the tokenizer.
        layer: the layer whose weights the memory gets, from 0; if left out, the last.
        opset: the graph's ONNX opset, 18 to 23.
        force: replace an existing bundle.
        verbose: show the exporter's messages.
        progress: told of each step.

    Returns:
        The bundle. Its manifest's ``parity`` holds the worst figures of the comparison.

    Raises:
        LamError: the opset is out of range, or a package is missing.
        CheckpointError: there is no checkpoint, it is broken, or it has no such layer.
        ExportError: the graph is not valid or does not match the reference; nothing was written.
        BundleError: ``output`` is taken or cannot be written.
    """
    check_opset(opset)
    check_place(Path(output), BUNDLE, force)
    progress.begin("reading the checkpoint", None)
    require_export()
    from lam_export.evidence.provenance import tools
    from lam_export.export.graphs import ExportError, write_graphs
    from lam_export.export.memory_step import onnx_from_memory
    from lam_export.model.memory_step import Memory
    from lam_export.validate.memory_parity import STEPS, THRESHOLDS, memory_errors

    source = read_checkpoint(checkpoint, teacher)
    memory = Memory(source, layer)
    with write_bundle(output, force=force) as (draft, commit):
        progress.begin("tracing the memory", None)
        graphs = write_graphs({MEMORY_MODEL: onnx_from_memory(memory, opset=opset, verbose=verbose)}, draft, layers=0)
        progress.begin(f"comparing: {STEPS} stores and recalls", None)
        worst = memory_errors((draft / MEMORY_MODEL).read_bytes(), memory)
        if not worst:
            raise ExportError(
                f"the export does not match the reference and was not written: {MEMORY_MODEL}: "
                f"{THRESHOLDS.beside(worst)}; try another --opset"
            )
        manifest = Manifest(
            format_version=1,
            model=ModelInfo.model_validate(source.config.to_dict()),
            form="memory",
            chunk_size=None,
            memory_layer=memory.layer,
            checkpoint=Source(file=source.weights.name, sha256=source.sha256),
            teacher=teacher_source(source),
            files={MEMORY_MODEL: file_entry(draft / MEMORY_MODEL)},
            graphs=graphs,
            max_tokens_tested=0,
            parity={MEMORY_MODEL: worst.figures},
            tools=tools(),
        )
        write_manifest(draft, manifest)
        commit(manifest)
    return Bundle(Path(output).resolve(), kind="memory")
