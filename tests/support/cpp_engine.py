"""``lam-embed``, the tool of the C++ engine, as a user runs it."""

import io
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).parents[2] / "engines" / "cpp"
BUILD = SOURCE / "build" / "release"


@dataclass(frozen=True)
class CppEngine:
    """The built tool."""

    tool: Path

    def run(self, *arguments: object, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """Run it to its end, its input and output pipes."""
        return subprocess.run([self.tool, *map(str, arguments)], input=stdin, capture_output=True, timeout=120)

    def embed(self, bundle: Path, texts: Sequence[str], *arguments: object) -> np.ndarray:
        """The embeddings of texts of one line each, ``[n, hidden]`` float32."""
        result = self.run(bundle, *arguments, stdin="".join(f"{text}\n" for text in texts).encode())
        assert result.returncode == 0, result.stderr
        assert result.stderr == b""
        return np.load(io.BytesIO(result.stdout))

    def refusal(self, *arguments: object, stdin: bytes = b"") -> str:
        """The one line with which it refuses, after ``error: ``."""
        result = self.run(*arguments, stdin=stdin)
        assert result.returncode == 1, result
        assert result.stdout == b""
        (line,) = result.stderr.decode().splitlines()
        assert line.startswith("error: ")
        assert line.isprintable()
        return line.removeprefix("error: ")
