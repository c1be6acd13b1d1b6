"""``lam-embed``, the tool of the C++ engine, as a user runs it."""

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import needs
import numpy as np

SOURCE = Path(__file__).parents[2] / "engines" / "cpp"
BUILD = SOURCE / "build" / "release"
_MISSING = re.compile(r"expected .* found (?:none installed|neither)[^.]*")


def build() -> str | None:
    """Bring the build of ``scripts/build_cpp`` up to date; why that cannot be done here, or None."""
    if reason := needs.missing("cmake", "c++", "ninja"):
        return reason
    if not (BUILD / "build.ninja").exists():
        command = ["cmake", "--preset", "release", f"-DLAM_PYTHON={sys.executable}"]
        configured = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True)
        if missing := _MISSING.search(" ".join(configured.stderr.split())):
            return f"{missing[0]}; run: {needs.install_cpp()}"
        assert configured.returncode == 0, configured.stderr
    built = subprocess.run(["cmake", "--build", BUILD, "-j", "2"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout
    return None


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
