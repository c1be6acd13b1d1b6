"""Reads checkpoint files of every known layout into one canonical set of tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from lam_engines.contract import TOKENIZER
from lam_export.model.config import ModelConfig, config_from_shapes

from . import files, layouts
from .errors import CheckpointError
from .files import parts_of, sha256_of
from .schema import check_tensors, teacher_advice

__all__ = ["Checkpoint", "CheckpointError", "load_checkpoint", "parts_of", "sha256_of"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint after reading and checking. Every tensor is present, has the right shape, and is finite."""

    config: ModelConfig
    tensors: Mapping[str, Tensor]
    """The tensors by their canonical names (see ``schema.py``), in the file's dtype, on the CPU."""
    layout: str
    weights: Path
    """The file of the weights, or the index of several."""
    sha256: str
    """The file's hash; of several files, that of their lines in the format of ``sha256sum``."""
    teacher: Path | None
    tokenizer: Path | None
    from_teacher: tuple[str, ...]
    """The canonical names whose tensors came from the teacher, inside the file or beside it."""
    notes: tuple[str, ...] = field(default=())
    """One sentence for each disagreement between the config and the tensors."""

    def layer(self, index: int) -> dict[str, Tensor]:
        """The mixer's tensors of one layer, named without ``deltanet_layers.{index}.``."""
        prefix = f"deltanet_layers.{index}."
        return {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}


def load_checkpoint(path: Path | str, teacher: Path | str | None = None) -> Checkpoint:
    """Read a LAM checkpoint in any of its layouts.

    Args:
        path: a folder with ``config.json``, ``tokenizer.json`` and a weights file, or several with their index; or the
            weights file alone. Config and tokenizer are then read from its folder.
        teacher: the folder or weights file of the BERT teacher. It is needed only if the checkpoint lacks embeddings,
            norms, feed-forward parts or the tokenizer.

    Returns:
        The checked checkpoint. If several sources hold a tensor, the student's is used; then the one of the teacher
        inside the checkpoint; then the one of ``teacher``.

    Raises:
        CheckpointError: the checkpoint is missing or broken. The message names every offending tensor or file.
    """
    weights = files.find_weights(Path(path))
    folder = Path(path) if Path(path).is_dir() else weights.parent
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
    declared = {**embedded_config, **files.read_config(folder)}
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

    tokenizer_folders = [folder] + ([teacher_weights.parent] if teacher_weights else [])
    tokenizers = [f / TOKENIZER for f in tokenizer_folders if files.is_there(f / TOKENIZER)]
    for tokenizer in tokenizers[:1]:
        files.check_pointer(tokenizer)
    return Checkpoint(
        config=config,
        tensors=tensors,
        layout=f"{files.parts_of(weights)[0].suffix.lstrip('.')} {layout}",
        weights=weights,
        sha256=files.sha256_of_weights(weights),
        teacher=teacher_weights,
        tokenizer=tokenizers[0] if tokenizers else None,
        from_teacher=tuple(sorted(set(from_teacher) - set(student))),
        notes=(*notes, *files.notes_of(weights)),
    )
