"""Memories of vectors: the engine, and snapshots of its state."""

from .engine import MemoryEngine

__all__ = ["MemoryEngine"]
