"""Other people's tools: their environments, and what each must give on the demo model."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Demo:
    """The demo model, 50 texts, and their embeddings by the bundle's engine."""

    bundle: Path
    folder: Path
    texts: Path
    """A JSON file."""
    right: dict[str, np.ndarray]
    """By precision, ``[50, 384]``."""

    def check(self, how: str, vectors: np.ndarray) -> None:
        """See that a tool's vectors are right: in int8 by cosine, because kernels round differently."""
        int8 = "int8" in how
        right = self.right["int8" if int8 else "fp32"]
        assert vectors.shape == right.shape
        if int8:
            assert (vectors * right).sum(axis=1).min() >= 0.995
        else:
            assert np.abs(vectors - right).max() <= 1e-5


def environment(name: str) -> Path:
    """The folder of an environment of ``scripts/tool_environment``."""
    made = subprocess.run([ROOT / "scripts" / "tool_environment", name], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


def run(command: list[object], **variables: str) -> str:
    """Run a program that must succeed, and give what it prints."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **variables})
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
