"""The Triton kernel on CPU tensors, in a process of its own: Triton decides when it is imported to interpret."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from lam_plugins.dual_state_delta_rule import Options


@contextmanager
def interpreter() -> Iterator[ProcessPoolExecutor]:
    """A process in which :func:`run` works."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_interpret) as pool:
        yield pool


def run(arguments: tuple[Tensor, ...], chunk_size: int, variant: str | None = None) -> Tensor:
    """``kernel.fused_delta_rule`` into a tensor of NaN."""
    from lam_plugins.fused_delta_rule import kernel

    projected, _, _, conv_bias, *_ = arguments
    out = projected.new_full((*projected.shape[:2], conv_bias.shape[0] // 3), float("nan"))
    return kernel.fused_delta_rule(*arguments, chunk_size, variant, out)


def run_dual_state(arguments: tuple[Tensor, ...], chunk_size: int, options: Options = Options()) -> Tensor:
    """``launch.dual_state_delta_rule`` into a tensor of NaN."""
    from lam_plugins.dual_state_delta_rule import launch

    projected, lengths, *weights = arguments
    out = projected.new_full((*projected.shape[:2], weights[1].shape[0] // 3), float("nan"))
    return launch.dual_state_delta_rule(projected, lengths, tuple(weights), chunk_size, options, out)


def _interpret() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)
