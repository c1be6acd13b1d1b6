"""The installed library, as a project of the user's finds it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cpp_engine import CppEngine

from lam_engines.embedding.engine import EmbeddingEngine

EXAMPLES = Path(__file__).parents[2] / "examples" / "cpp"
TEXTS = ("the cat sleeps", "a man is reading")


@pytest.fixture(scope="module")
def installed(cpp_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installed, and moved afterwards: nothing in it may name the place."""
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", cpp_build, "--prefix", prefix / "first"], check=True, capture_output=True)
    return (prefix / "first").rename(prefix / "moved")


def libraries(prefix: Path) -> Path:
    (library,) = prefix.rglob("liblam_engine.so")
    return library.parent


def same_cosine(program: Path, bundle: Path, engine: EmbeddingEngine, **environment: str) -> None:
    command = [program, bundle, *TEXTS]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    first, second = engine.embed(TEXTS)
    assert float(found.stdout) == pytest.approx(float(first @ second), abs=2e-5)
    refused = subprocess.run([program, bundle / "none", *TEXTS], capture_output=True, text=True)
    assert refused.returncode == 1 or environment
    assert "make one: lam-export onnx" in refused.stderr or environment


def test_the_installed_tool(installed: Path, tiny_bundle: Path) -> None:
    assert CppEngine(installed / "bin" / "lam-embed").embed(tiny_bundle, TEXTS).shape == (2, 32)


def test_a_project_that_finds_the_cmake_package(
    installed: Path, tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path
) -> None:
    configure = ["cmake", "-G", "Ninja", "-S", EXAMPLES, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={installed}"]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path], check=True, capture_output=True)
    for program in ("similarity", "similarity_c"):
        same_cosine(tmp_path / program, tiny_bundle, tiny_engine)


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="no pkg-config")
def test_a_compiler_that_asks_pkg_config(
    installed: Path, tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path
) -> None:
    folder = libraries(installed)
    environment = {**os.environ, "PKG_CONFIG_PATH": str(folder / "pkgconfig")}
    asked = ["pkg-config", "--cflags", "--libs", "lam_engine"]
    flags = subprocess.run(asked, check=True, capture_output=True, text=True, env=environment).stdout.split()
    source = EXAMPLES / "similarity.c"
    subprocess.run(["cc", "-std=c99", "-Wall", "-Werror", source, "-o", tmp_path / "similarity", *flags], check=True)
    same_cosine(tmp_path / "similarity", tiny_bundle, tiny_engine, LD_LIBRARY_PATH=str(folder))
