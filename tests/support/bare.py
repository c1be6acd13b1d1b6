"""Python environments in which lam-export's wheel is installed, with some of its dependencies and no others.

    python = bare.environment(tmp_path / "bare")                    # what every installation has
    python = bare.environment(tmp_path / "cpu", "cpu", "bench")     # with two extras

Nothing is downloaded: dependencies are links to those of this environment.
"""

import os
import re
import subprocess
import sys
import venv
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def wheel(folder: Path) -> Path:
    """Build the wheel as users do; its path."""
    command = [ROOT / "scripts/build_wheel", folder]
    built = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable})
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    assert f"pip install '{found}[cpu]'" in built.stdout
    return found


def environment(folder: Path, built: Path, *extras: str) -> Path:
    """A virtual environment with the wheel, what it requires, and what some extras require; its Python."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", built]
    subprocess.run([*command, "--disable-pip-version-check"], check=True, env=outside())
    for name in required(packages, extras):
        try:
            held = distribution(name)
        except PackageNotFoundError:
            continue  # such as CUDA's, which a test on a CPU does not need
        for file in held.files or ():
            top = Path(file.parts[0])
            here, there = packages / top, Path(str(held.locate_file(top)))
            if top.name not in ("..", "__pycache__") and there.exists() and not here.exists():
                here.symlink_to(there)
    return python


def required(packages: Path, extras: Sequence[str]) -> set[str]:
    """The distributions of this environment that the wheel requires with these extras, and what those require."""
    (ours,) = distributions(name="lam-export", path=[str(packages)])
    found: set[str] = set()
    waiting: list[tuple[Distribution, frozenset[str]]] = [(ours, frozenset(extras))]
    seen = {("lam-export", frozenset(extras))}
    while waiting:
        holder, chosen = waiting.pop()
        for line in holder.requires or ():
            wanted = Requirement(line)
            cases = [{**default_environment(), "extra": extra} for extra in (*chosen, "")]
            if wanted.marker and not any(wanted.marker.evaluate(case) for case in cases):
                continue
            name = re.sub("[-_.]+", "-", wanted.name).lower()
            entry = (name, frozenset(wanted.extras))
            if entry in seen:
                continue
            seen.add(entry)
            found.add(name)
            with suppress(PackageNotFoundError):
                waiting.append((ours if name == "lam-export" else distribution(name), entry[1]))
    return found - {"lam-export"}


def outside() -> dict[str, str]:
    """The environment variables without those that would bring this Python's path along."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(python: Path, *arguments: object, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run lam-export in an environment, in a folder, with nothing of this one's Python on its path."""
    command = [python.parent / "lam-export", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**outside(), "COLUMNS": "400", **variables}
    )
