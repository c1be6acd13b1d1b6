"""The C++ engine, built once in the folder that ``scripts/build_cpp`` builds in."""

import re
import subprocess
import sys
from pathlib import Path

import needs
import pytest
import shared
from cpp_engine import BUILD, SOURCE, CppEngine

_MISSING = re.compile(r"expected .* found (?:none installed|neither)[^.]*")


@pytest.fixture(scope="session")
def cpp_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of the C++ engine; skips where it cannot be built, and says what is missing."""
    if reason := needs.missing("cmake", "c++", "ninja"):
        pytest.skip(reason)

    def build(folder: Path) -> None:
        if not (BUILD / "build.ninja").exists():
            command = ["cmake", "--preset", "release", f"-DLAM_PYTHON={sys.executable}"]
            configured = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True)
            if missing := _MISSING.search(" ".join(configured.stderr.split())):
                (folder / "missing").write_text(f"{missing[0]}; run: {needs.install_cpp()}")
                return
            assert configured.returncode == 0, configured.stderr
        built = subprocess.run(["cmake", "--build", BUILD, "-j", "2"], capture_output=True, text=True)
        assert built.returncode == 0, built.stdout

    missing = shared.made_once(tmp_path_factory, "cpp-build", build) / "missing"
    if missing.exists():
        pytest.skip(missing.read_text())
    return BUILD


@pytest.fixture(scope="session")
def cpp_engine(cpp_build: Path) -> CppEngine:
    """The tool ``lam-embed``."""
    return CppEngine(cpp_build / "lam-embed")


@pytest.fixture(scope="session")
def operators(cpp_build: Path) -> Path:
    """The library of native operators for OpenVINO."""
    return cpp_build / "liblam_operators.so"
