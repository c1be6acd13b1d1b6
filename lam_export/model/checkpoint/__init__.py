"""Checkpoint files to one canonical set of tensors; the layouts are those met in the wild."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from lam_engines.contract import TOKENIZER
from lam_export.model.config import ModelConfig, config_from_shapes

from . import files, layouts
from .errors import CheckpointError
from .files import sha256_of
from .schema import check_tensors, teacher_advice

__all__ = ["Checkpoint", "CheckpointError", "load_checkpoint", "sha256_of"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and checked: every tensor present, of its shape, and finite."""

    config: ModelConfig
    tensors: Mapping[str, Tensor]
    """Canonical name (see ``schema.py``) to tensor, in the file's dtype, on the CPU."""
    layout: str
    weights: Path
    sha256: str
    teacher: Path | None
    tokenizer: Path | None
    from_teacher: tuple[str, ...]
    """The canonical names whose tensors came from the teacher, inside the file or beside it."""
    notes: tuple[str, ...] = field(default=())
    """Where the config and the tensors disagree."""

    def layer(self, index: int) -> dict[str, Tensor]:
        """The mixer's tensors of one layer, named without ``deltanet_layers.{index}.``."""
        prefix = f"deltanet_layers.{index}."
        return {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}


def load_checkpoint(path: Path | str, teacher: Path | str | None = None) -> Checkpoint:
    """Read a LAM checkpoint in any of its layouts.

    Args:
        path: a folder (``config.json``, ``tokenizer.json`` and a weights file), or the weights file alone, in which
            case config and tokenizer are looked for beside it.
        teacher: the BERT that gives what the checkpoint itself does not hold (embeddings, norms, feed-forward
            parts, tokenizer); a folder or a weights file.

    Returns:
        The checked checkpoint. Where several hold a tensor, the student's wins, then that of the teacher inside the
        checkpoint, then that of ``teacher``.

    Raises:
        CheckpointError: with every offending tensor or file named.
    """
    weights = files.find_weights(Path(path))
    files.check_sums(weights)
    layout, state, embedded_config = layouts.state_dict_of(files.read_tensors(weights))
    student, from_teacher = layouts.canonical_tensors(state)

    teacher_weights = files.find_weights(Path(teacher)) if teacher is not None else None
    if teacher_weights is not None:
        files.check_sums(teacher_weights)
        outside = layouts.state_dict_of(files.read_tensors(teacher_weights))[1]
        if any(name.startswith("deltanet_layers.") for name in outside):
            raise CheckpointError(f"expected a BERT as the teacher, found LAM layers in {teacher_weights}")
        # The checkpoint's own teacher, if it has one, is what it was trained with.
        from_teacher = {**layouts.canonical_teacher(outside), **from_teacher}

    tensors = {**from_teacher, **student}
    declared = {**embedded_config, **files.read_config(weights.parent)}
    if not isinstance(declared.get("lam_config") or {}, dict):
        raise CheckpointError(f"expected an object as the config's lam_config, found {declared['lam_config']!r}")
    try:
        config, notes = config_from_shapes({name: tuple(t.shape) for name, t in tensors.items()}, declared)
    except KeyError as error:
        missing = error.args[0]
        raise CheckpointError(f"missing tensor {missing} in {weights}{teacher_advice([missing])}") from error
    except ValueError as error:
        raise CheckpointError(f"{weights}: {error}") from error
    check_tensors(tensors, config)

    tokenizer_folders = [weights.parent] + ([teacher_weights.parent] if teacher_weights else [])
    tokenizers = [f / TOKENIZER for f in tokenizer_folders if (f / TOKENIZER).is_file()]
    return Checkpoint(
        config=config,
        tensors=tensors,
        layout=f"{weights.suffix.lstrip('.')} {layout}",
        weights=weights,
        sha256=sha256_of(weights),
        teacher=teacher_weights,
        tokenizer=tokenizers[0] if tokenizers else None,
        from_teacher=tuple(sorted(set(from_teacher) - set(student))),
        notes=tuple(notes),
    )
