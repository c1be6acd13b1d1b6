"""The C++ engine's parts, as its tests use them."""

from pathlib import Path

import pytest
from cpp_engine import CppEngine


@pytest.fixture(scope="session")
def cpp_engine(cpp_build: Path) -> CppEngine:
    """The tool ``lam-embed``."""
    return CppEngine(cpp_build / "lam-embed")


@pytest.fixture(scope="session")
def operators(cpp_build: Path) -> Path:
    """The library of native operators for OpenVINO."""
    return cpp_build / "liblam_operators.so"
