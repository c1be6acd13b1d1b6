"""Fixtures of many tests: the small LAM of ``tiny.py``, written and loaded once. Never change them in place."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lam_export.model.encoder import Encoder

# Read when torch is first imported. On the tests' tiny tensors more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny_checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete checkpoint folder: flat layout, safetensors, ``config.json``, ``tokenizer.json``."""
    import tiny

    return tiny.write_checkpoint(tmp_path_factory.mktemp("tiny") / "lam")


@pytest.fixture(scope="session")
def tiny_teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain BERT that the tiny LAM took its embeddings, norms and feed-forward parts from."""
    import tiny

    return tiny.write_teacher(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture(scope="session")
def tiny_encoder(tiny_checkpoint_folder: Path) -> "Encoder":
    """The PyTorch reference of the tiny LAM: flat form, chunks of 128, float32. ``copy.deepcopy`` it to change it."""
    from lam_export.model.checkpoint import load_checkpoint
    from lam_export.model.encoder import Encoder

    return Encoder(load_checkpoint(tiny_checkpoint_folder))
