"""``lam-export inspect``: what a bundle holds, and what would run it here."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import LamError
from lam_engines.runtimes import registry


@dataclass(frozen=True)
class BundleFacts:
    """What :func:`inspect_bundle` found. Every file was read and has the hash that the manifest states."""

    path: Path
    kind: Literal["encoder", "memory"]
    form: str
    chunk_size: int | None
    model: dict[str, Any]
    """The model's sizes and constants."""
    checkpoint: str
    """File name and SHA-256 of the checkpoint that it was made from."""
    manifest_sha256: str
    files: dict[str, dict[str, Any]]
    """SHA-256 and bytes of each file."""
    graphs: dict[str, dict[str, Any]]
    """Precision, opset and parity figures of each graph. The figures are the worst that the export found."""
    plans: dict[str, str]
    """What each TensorRT plan runs on."""
    max_tokens_tested: int
    tools: dict[str, str]
    """Versions of what made it."""
    runs_here: dict[str, str]
    """``auto``: the engine that it stands for here. Each engine of this version: the precisions that it would run here,
    or why it cannot."""

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return {**asdict(self), "path": str(self.path)}


def inspect_bundle(bundle: Path | str) -> BundleFacts:
    """Read a bundle, check every file's hash, and say what was found. Nothing is written or run.

    Raises:
        BundleError: there is no bundle, or a file of it is missing or was altered.
    """
    opened = Bundle(bundle, kind=None)
    manifest = opened.manifest
    for name in manifest.files:
        opened.read(name)
    memory = manifest.memory_layer is not None
    return BundleFacts(
        path=opened.path,
        kind="memory" if memory else "encoder",
        form=manifest.form,
        chunk_size=manifest.chunk_size,
        model=manifest.model.model_dump(mode="json"),
        checkpoint=f"{manifest.checkpoint.file}, sha256 {manifest.checkpoint.sha256}",
        manifest_sha256=opened.manifest_sha256,
        files={name: entry.model_dump() for name, entry in manifest.files.items()},
        graphs={
            name: {"precision": graph.precision, "opset": graph.opset, "parity": manifest.parity.get(name, {})}
            for name, graph in manifest.graphs.items()
        },
        plans={name: str(plan) for name, plan in manifest.plans.items()},
        max_tokens_tested=manifest.max_tokens_tested,
        tools=manifest.tools,
        runs_here={} if memory else _runs_here(opened),
    )


def _runs_here(bundle: Bundle) -> dict[str, str]:
    runs = {runtime.name: _runs(runtime, bundle) for runtime in registry.all_runtimes()}
    return {registry.AUTO: _chosen(bundle), **runs}


def _chosen(bundle: Bundle) -> str:
    try:
        return registry.choose(registry.AUTO, bundle).said(bundle)
    except LamError as error:
        return f"none: {error}"


def _runs(runtime: registry.Runtime, bundle: Bundle) -> str:
    try:
        version = runtime.version()
    except LamError as error:
        return f"no: {error}"
    reasons = []
    precisions = []
    for precision in runtime.precisions:
        try:
            runtime.file_of(bundle, precision)
            precisions.append(precision)
        except LamError as error:
            reasons.append(str(error))
    variant = runtime.variant(bundle)
    found = f"yes: {', '.join(precisions)} in {runtime.title} {version}{f', {variant}' if variant else ''}"
    return found if precisions else f"no: {reasons[0]}"
