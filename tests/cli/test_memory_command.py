"""``lam-export memory``, and what the other commands say of its bundle."""

import re
from pathlib import Path

import numpy as np
import pytest
import tiny
from commands import lam_export, lam_export_process, refusal

from lam_engines.memories.engine import MemoryEngine

pytestmark = pytest.mark.heavy


def test_a_checkpoint_to_a_memory(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    result = lam_export("memory", tiny_checkpoint_folder, "-o", tmp_path / "memory", "--layer", 0)
    assert result.returncode == 0, result.stderr
    assert "memory.onnx equals the reference" in result.stdout
    assert "layer 0" in result.stdout
    with MemoryEngine(tmp_path / "memory") as memory:
        memory.store(np.ones(tiny.HIDDEN))
        assert memory.recall(np.ones(tiny.HIDDEN)).any()
    line = refusal("memory", tiny_checkpoint_folder, "-o", tmp_path / "memory")
    assert "there is a bundle at" in line
    assert "--force" in line


def test_a_layer_that_is_not_there(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    line = refusal("memory", tiny_checkpoint_folder, "-o", tmp_path / "memory", "--layer", 2)
    assert "expected a layer of 0 to 1" in line
    assert not list(tmp_path.iterdir())


def test_no_command_takes_a_memory_for_an_encoder(tiny_memory: Path, tiny_checkpoint_folder: Path) -> None:
    for command in (
        ("embed", tiny_memory, "a text"),
        ("validate", tiny_memory, "--checkpoint", tiny_checkpoint_folder),
        ("serve", tiny_memory),
    ):
        line = refusal(*command)
        assert "expected the bundle of an encoder at" in line, line
        assert "found that of a memory; make one: lam-export onnx" in line


def test_the_example_of_the_page(tiny_memory: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")
    example = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "my-memory").symlink_to(tiny_memory)
    (tmp_path / "my-model").symlink_to(tiny_bundle)
    result = lam_export_process(code=f"import os\nos.chdir({str(tmp_path)!r})\n{example}")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("2 memories\n")
    assert (tmp_path / "notes.memory").is_file()
