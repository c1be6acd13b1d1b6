"""How tests look at the outcome of loading a checkpoint."""

from pathlib import Path

import pytest
from torch import Tensor

from lam_export.model.checkpoint import Checkpoint, CheckpointError, load_checkpoint


def same(found: Checkpoint, expected: dict[str, Tensor]) -> bool:
    """Whether the checkpoint holds exactly these tensors."""
    return set(found.tensors) == set(expected) and all(
        found.tensors[name].equal(tensor) for name, tensor in expected.items()
    )


def refusal(path: Path, teacher: Path | None = None) -> str:
    """The message, one line, with which the checkpoint must be refused."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, teacher)
    message = str(caught.value)
    assert message.isprintable(), message
    return message


def load_or_refusal(path: Path) -> Checkpoint | str:
    """The checkpoint, or the message with which it is refused; any other exception is a fault."""
    try:
        return load_checkpoint(path)
    except CheckpointError as error:
        return str(error)
