"""The environment that holds PyPI's server: made whole or not at all, and only where it can run."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lam_engines import EngineError
from lam_engines.serving.triton import wheel
from lam_engines.serving.triton.find_server import find_installation
from lam_engines.serving.triton.installation import Installation
from lam_engines.serving.triton.wheel import UnfitMachineError, wheel_installation


def test_it_is_apart_from_this_python(triton_installation: Installation) -> None:
    program = Path(triton_installation.command[0])
    assert program.name == "tritonserver"
    assert not program.is_relative_to(sys.prefix)
    python = Path(shutil.which("python", path=triton_installation.environment["PATH"]) or "")
    code = "import numpy, onnxruntime, tokenizers; print(numpy.__version__)"
    found = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "1.26.4", found.stderr


def test_it_is_made_once(triton_installation: Installation) -> None:
    def unexpected(step: str) -> None:
        raise AssertionError(step)

    assert wheel_installation(unexpected) == triton_installation


def test_a_damaged_one_is_not_used(tmp_path: Path, triton_installation: Installation) -> None:
    folder = next(path for path in Path(triton_installation.command[0]).parents if (path / "complete").exists())
    copy = shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    assert wheel._is_whole(copy)
    library = next(copy.glob("lib/python*/site-packages/nvidia_pytriton.libs/libtritonserver-*.so"))
    with library.open("r+b") as file:
        file.truncate(1000)
    assert not wheel._is_whole(copy)
    assert not wheel._is_whole(tmp_path / "none")


@pytest.mark.heavy
def test_a_content_that_differs_from_its_hash_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triton_installation: Installation
) -> None:
    pinned = tmp_path / "environment.txt"
    pinned.write_text(f"packaging==24.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(wheel, "REQUIREMENTS", pinned)
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path / "cache"))
    steps: list[str] = []
    with pytest.raises(EngineError, match="Triton's server could not be installed") as caught:
        wheel_installation(steps.append)
    assert "or name a server: --tritonserver COMMAND" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert steps[0].startswith("installing Triton's server")
    assert list((tmp_path / "cache" / "tritonserver").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="LAM_EXPORT_CACHE") as caught:
        wheel_installation(lambda step: None)
    if isinstance(caught.value, UnfitMachineError):
        pytest.skip(str(caught.value))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("system", lambda: "Darwin", "expected Linux on x86_64, .* found Darwin"),
        ("machine", lambda: "aarch64", "expected Linux on x86_64, .* on aarch64"),
        ("libc_ver", lambda: ("glibc", "2.31"), "expected glibc 2.35 or newer, .* found glibc 2.31"),
        ("libc_ver", lambda: ("", ""), "expected glibc 2.35 or newer"),
    ],
)
def test_a_machine_that_it_is_not_for(monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str) -> None:
    for other, fitting in {"system": "Linux", "machine": "x86_64"}.items():
        monkeypatch.setattr(platform, other, lambda fitting=fitting: fitting)
    monkeypatch.setattr(platform, name, value)
    with pytest.raises(UnfitMachineError, match=message):
        wheel_installation(lambda step: None)


def test_the_server_that_is_named_or_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tritonserver"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_installation(None) == Installation((str(program),))
    assert find_installation("env A=1 tritonserver --x") == Installation(("env", "A=1", "tritonserver", "--x"))
    Installation((str(program),)).require_backend("tensorrt")  # not known, so not refused
    for nothing in ("", "no-such-program -v", "'"):
        with pytest.raises(EngineError, match="--tritonserver"):
            find_installation(nothing)
