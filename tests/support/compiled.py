"""Kernels compiled ahead of time, each when a test first asks for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lam_plugins.aot import TARGETS, CompiledKernel, FusedDeltaRuleBuild, compile_kernel

EVERY_TARGET = pytest.mark.parametrize(
    "target", [t if t in ("sm_80", "sm_120") else pytest.param(t, marks=pytest.mark.slow) for t in TARGETS]
)
"""The oldest and the newest; those between with ``scripts/test --all``."""


class Compiled:
    """Target to its kernel."""

    def __init__(self, build: Callable[[str], FusedDeltaRuleBuild], cache: Path) -> None:
        self.build, self.cache = build, cache
        self.kernels: dict[str, CompiledKernel] = {}

    def __getitem__(self, target: str) -> CompiledKernel:
        if target not in self.kernels:
            self.kernels[target] = compile_kernel(self.build(target), self.cache)
        return self.kernels[target]
