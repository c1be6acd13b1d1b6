"""The fused delta rule on a CUDA device: the kernel against naive PyTorch and against the floor of its bytes.

python benchmarks/kernel_cuda.py

Correctness first: every variant must equal the oracle in float64. Then each is timed as a replayed CUDA graph of many
launches, so that no launch from Python is in the figure. It has not been run yet: no machine with a GPU was at hand.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from lam_plugins.fused_delta_rule import kernel, naive

SHAPES = ((1, 32_768), (32, 128))
HIDDEN, HEAD_SIZE, CHUNK = 384, 32, 128
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))


def main(
    bandwidth: Annotated[float, typer.Option(help="Of the device's memory, in TB/s, as measured by a copy.")] = 4.3,
    launches: Annotated[int, typer.Option(help="In one graph.")] = 20,
) -> None:
    from delta_rule import TOLERANCE, Case, exactly, relative_error

    print(f"{torch.cuda.get_device_name()}; torch {torch.__version__}, CUDA {torch.version.cuda}\n")
    print("| batch | tokens | what | relative error | microseconds | times the floor |")
    print("|---|---|---|---|---|---|")
    for batch, tokens in SHAPES:
        case = Case([tokens] * batch, HEAD_SIZE, HIDDEN // HEAD_SIZE)
        arguments = tuple(t.cuda() for t in case.arguments(torch.float16))
        exact = exactly(arguments, CHUNK)
        heads = HIDDEN // HEAD_SIZE
        floor = batch * tokens * 2 * (5 * HIDDEN + 3 * heads) / (bandwidth * 1e12)
        for variant in kernel.VARIANTS:

            def launch(arguments: tuple[Any, ...] = (*arguments, CHUNK, variant)) -> Tensor:
                return kernel.fused_delta_rule(*arguments)

            error = relative_error(launch(), exact)
            if error > TOLERANCE[torch.float16]:
                raise SystemExit(f"{variant} does not equal the oracle: relative error {error:.1e}")
            seconds = graph_seconds(launch, launches)
            print(f"| {batch} | {tokens} | {variant} | {error:.1e} | {seconds * 1e6:.1f} | {seconds / floor:.2f} |")
        # In float32: in half precision the oracle passes its range.
        floats: list[Any] = [t.float() if t.is_floating_point() else t for t in arguments]
        call = partial(naive.fused_delta_rule, *[*floats, CHUNK])
        seconds, error = graph_seconds(call, 1), relative_error(call(), exact)
        print(f"| {batch} | {tokens} | naive, fp32 | {error:.1e} | {seconds * 1e6:.1f} | {seconds / floor:.2f} |")


def graph_seconds(call: Callable[[], Tensor], launches: int, repeats: int = 20) -> float:
    """Median time of one call, in seconds, from replays of a CUDA graph of several."""
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
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / launches)
    return median(times)


if __name__ == "__main__":
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; this benchmark needs one")
    typer.run(main)
