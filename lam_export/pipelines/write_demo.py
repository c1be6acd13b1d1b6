"""``lam-export demo``: write a checkpoint for trying things out."""

from pathlib import Path

import lam_export.demo as demo
from lam_export.requirements import require


def write_demo(folder: Path | str, *, force: bool = False) -> Path:
    """Write a small, trained LAM checkpoint. It was distilled from all-MiniLM-L6-v2.

    Args:
        folder: where to write it.
        force: replace an existing demo checkpoint.

    Returns:
        The folder.

    Raises:
        LamError: a package is missing.
        DemoError: the teacher's package is missing, the folder is taken, or it cannot be written.
    """
    require("torch", "safetensors", extra="demo")
    return demo.write_demo(Path(folder), force=force)
