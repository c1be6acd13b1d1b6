"""Where the evidence is made: a CUDA device, or a CPU on which everything is tiny; and how time is taken there."""

import os
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import torch

from lam_export.evidence import provenance

ROOT = Path(__file__).parents[2]
TINY = "LAM_CHECK_TINY"
"""Set in the processes of a run without a GPU, as is Triton's ``TRITON_INTERPRET``."""

WORK = "LAM_CHECK_WORK"
"""A folder that goes when the run ends."""

tiny = TINY in os.environ
device = torch.device("cpu" if tiny else "cuda")


def describe() -> dict[str, Any]:
    """Device, driver, versions and commit."""
    about = {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": "CPU, tiny sizes: no figure here means anything" if tiny else torch.cuda.get_device_name(),
        "machine": provenance.machine(),
        "commit": commit(),
        "versions": provenance.tools(),
    }
    if not tiny:
        major, minor = torch.cuda.get_device_capability()
        about |= {
            "compute capability": f"{major}.{minor}",
            "memory, GiB": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1),
            "driver": _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") or "unknown",
            "CUDA": torch.version.cuda,
        }
    return about


def commit() -> str:
    """The commit of the working tree, and whether files differ from it."""
    head = _said("git", "rev-parse", "HEAD")
    return head + (", and changes" if _said("git", "status", "--porcelain") else "") if head else "unknown"


def _said(*command: str) -> str:
    try:
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip().splitlines()[0] if found.returncode == 0 and found.stdout.strip() else ""


def synchronize() -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_of(call: Callable[[], object], launches: int = 1, most: float = 1.0) -> float:
    """Median time of a call, in seconds.

    On CUDA, of replays of a graph of several calls, so that no launch from Python is in the figure. On a CPU, of calls.

    Args:
        call: puts the same work on the device each time.
        launches: calls in the graph.
        most: seconds after which no further repeat begins.
    """
    if device.type != "cuda":
        return _wall(call)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(launches):
            call()
    graph.replay()
    return _median(graph.replay, _events, repeats=20, most=most) / launches


def wall_seconds_of(call: Callable[[], object], most: float = 1.0) -> float:
    """Median time of a call that ends when its result is in the CPU's memory, in seconds."""
    call()
    return _median(call, _wall, repeats=20, most=most)


def _median(
    work: Callable[[], object], clock: Callable[[Callable[[], object]], float], *, repeats: int, most: float
) -> float:
    times: list[float] = []
    end = time.monotonic() + most
    while len(times) < 3 or (len(times) < repeats and time.monotonic() < end):
        times.append(clock(work))
    return median(times)


def _events(work: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def _wall(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_megabytes(call: Callable[[], object]) -> float:
    """The most device memory that tensors took while a call ran, weights included, in MB; 0 on a CPU."""
    if device.type != "cuda":
        call()
        return 0.0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 1e6


def free() -> None:
    """Give cached memory back, so that the next measurement finds it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
