"""Memories of vectors: the engine, snapshots of its state."""

from .engine import MemoryEngine

__all__ = ["MemoryEngine"]
