"""``lam-export demo``: write a checkpoint for trying things out."""

from lam_export.demo import write_demo

__all__ = ["write_demo"]
