"""Hadolint, which reads Dockerfiles."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def lint(dockerfile: Path) -> "subprocess.CompletedProcess[str]":
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert hadolint, "it comes with the dev extra"
    return subprocess.run([hadolint, str(dockerfile)], capture_output=True, text=True)
