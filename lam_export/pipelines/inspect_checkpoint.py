"""``lam-export inspect``: what a checkpoint holds."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lam_export.requirements import require


@dataclass(frozen=True)
class CheckpointFacts:
    """What :func:`inspect_checkpoint` found. Every tensor is present, has the right shape, and is finite."""

    weights: Path
    sha256: str
    layout: str
    teacher: Path | None
    """The teacher's weights file; None if no teacher was named."""
    tokenizer: Path | None
    parameters: int
    dtypes: tuple[str, ...]
    flux: Literal["per head", "shared"]
    """Whether each head has its own bilinear form in the resonance flux, or all share one."""
    tensors_from_teacher: int
    tensors: int
    config: dict[str, Any]
    notes: tuple[str, ...]
    """One sentence for each disagreement between the config and the tensors."""

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return {
            name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def inspect_checkpoint(checkpoint: Path | str, *, teacher: Path | str | None = None) -> CheckpointFacts:
    """Read a checkpoint, check every tensor, and say what was found. Nothing is written.

    Args:
        checkpoint: its folder or weights file.
        teacher: the checkpoint's teacher (a BERT); needed only if the checkpoint lacks weights or the tokenizer.

    Raises:
        LamError: a package is missing.
        CheckpointError: there is no checkpoint, or it is broken; every offending tensor is named.
    """
    require("torch", "safetensors", extra="export")
    from lam_export.model.checkpoint import load_checkpoint

    found = load_checkpoint(checkpoint, teacher)
    return CheckpointFacts(
        weights=found.weights,
        sha256=found.sha256,
        layout=found.layout,
        teacher=found.teacher,
        tokenizer=found.tokenizer,
        parameters=sum(tensor.numel() for tensor in found.tensors.values()),
        dtypes=tuple(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in found.tensors.values()})),
        flux="per head" if found.layer(0)["resonance_flux.W_bilinear"].ndim == 3 else "shared",
        tensors_from_teacher=len(found.from_teacher),
        tensors=len(found.tensors),
        config=found.config.to_dict(),
        notes=found.notes,
    )
