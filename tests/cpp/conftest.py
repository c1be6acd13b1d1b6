"""The C++ engine, built once in the folder that ``scripts/build_cpp`` builds in."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cpp_engine import BUILD, SOURCE, CppEngine

_MISSING = re.compile(r"expected .* found (?:none installed|neither)[^.]*")


@pytest.fixture(scope="session")
def cpp_build() -> Path:
    """The build folder of the C++ engine; skips where it cannot be built, and says what is missing."""
    for tool in ("cmake", "c++", "ninja"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}; see engines/cpp/README.md")
    if not (BUILD / "build.ninja").exists():
        command = ["cmake", "--preset", "release", f"-DLAM_PYTHON={sys.executable}"]
        configured = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True)
        if missing := _MISSING.search(" ".join(configured.stderr.split())):
            pytest.skip(missing[0])
        assert configured.returncode == 0, configured.stderr
    built = subprocess.run(["cmake", "--build", BUILD, "-j", "2"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout
    return BUILD


@pytest.fixture(scope="session")
def cpp_engine(cpp_build: Path) -> CppEngine:
    """The tool ``lam-embed``."""
    return CppEngine(cpp_build / "lam-embed")


@pytest.fixture(scope="session")
def operators(cpp_build: Path) -> Path:
    """The library of native operators for OpenVINO."""
    return cpp_build / "liblam_operators.so"
