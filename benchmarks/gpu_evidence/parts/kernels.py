"""The Triton kernels: every variant's time against the floor of its bytes, and all against the oracle in float64.

Correctness first: what differs from the oracle is not timed. The bandwidth of the floor is measured here too.
"""

from collections.abc import Callable, Iterator
from typing import Any

import delta_rule
import dual_state
import torch
from torch import Tensor
from triton.errors import TritonError

from gpu_evidence import machine
from gpu_evidence.record import Row, Tell
from lam_plugins.dual_state_delta_rule import Options, launch
from lam_plugins.fused_delta_rule import kernel, naive

HEADS, HEAD_SIZE, CHUNK, DUAL_CHUNK = (2, 16, 32, 16) if machine.tiny else (12, 32, 128, 32)
TIMED = ((2, 20),) if machine.tiny else ((1, 32_768), (32, 128))
LENGTHS = (1, 40) if machine.tiny else (1, 2, 31, 63, 127, 128, 129, 300, 1000, 2000, 32_768)
OTHER_HEAD_SIZES: tuple[int, ...] = () if machine.tiny else (16, 64)
COPIED = 2**20 if machine.tiny else 2**30
DUAL_TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3}

Call = Callable[[], Tensor]


def run(tell: Tell) -> None:
    bandwidth = measured_bandwidth()
    tell({"table": "Bandwidth of a copy", "TB/s": bandwidth / 1e12})
    for batch, tokens in TIMED:
        for row in timed(batch, tokens, bandwidth):
            tell(row)
    for head_size, lengths in ((HEAD_SIZE, LENGTHS), *((size, LENGTHS[:-1]) for size in OTHER_HEAD_SIZES)):
        for tokens in lengths:
            for row in compared(tokens, head_size):
                tell(row)


def measured_bandwidth() -> float:
    """Bytes a second of the device's memory, read and written ones."""
    source = torch.ones(COPIED, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    return 2 * COPIED / machine.seconds_of(lambda: target.copy_(source), launches=5)


def timed(batch: int, tokens: int, bandwidth: float) -> Iterator[Row]:
    """Each variant in float16; the dual-state kernels; and the oracle's code in float32, which is what they replace."""
    lengths, hidden = [tokens] * batch, HEADS * HEAD_SIZE
    arguments = on_device(delta_rule.Case(lengths, HEAD_SIZE, HEADS).arguments(torch.float16))
    exact = exact_of(arguments)
    floats = tuple(t.float() if t.is_floating_point() else t for t in arguments)
    calls: dict[str, tuple[Call, Call, float]] = {
        variant: (fused(arguments, variant), exact, delta_rule.TOLERANCE[torch.float16]) for variant in kernel.VARIANTS
    }
    calls["plain PyTorch, fp32"] = (lambda: naive.fused_delta_rule(*floats, CHUNK), exact, 1e-4)
    dual_arguments = on_device(dual_state.Case(lengths, HEAD_SIZE, HEADS).arguments(torch.float16))
    calls["dual state, three kernels"] = (dual(dual_arguments), dual_exact(dual_arguments), 2e-3)
    for name, (call, expected, tolerance) in calls.items():
        row: Row = {"table": "Times", "batch": batch, "tokens": tokens, "what": name}
        gates = 5 if name.startswith("dual") else 3
        floor = batch * tokens * 2 * (5 * hidden + gates * HEADS) / bandwidth
        row |= checked(call, expected, tolerance)
        if "wrong" not in row:
            seconds = machine.seconds_of(call, launches=20 if name in kernel.VARIANTS else 1)
            row |= {"us": seconds * 1e6, "floor, us": floor * 1e6, "times the floor": seconds / floor}
        yield row
        machine.free()


def compared(tokens: int, head_size: int) -> Iterator[Row]:
    """Two texts, one of which is padded, in every dtype."""
    lengths = [tokens, max(1, tokens // 3)]
    case = delta_rule.Case(lengths, head_size, HEADS)
    dual_case = dual_state.Case(lengths, head_size, HEADS)
    for dtype in kernel.DTYPES:
        arguments = on_device(case.arguments(dtype))
        call, exact = fused(arguments, None), exact_of(arguments)
        yield compared_row("fused", dtype, head_size, tokens) | checked(call, exact, delta_rule.TOLERANCE[dtype])
        arguments = on_device(dual_case.arguments(dtype))
        found = checked(dual(arguments), dual_exact(arguments), DUAL_TOLERANCE[dtype])
        yield compared_row("dual state", dtype, head_size, tokens) | found
        machine.free()


def compared_row(operator: str, dtype: torch.dtype, head_size: int, tokens: int) -> Row:
    kind = str(dtype).removeprefix("torch.")
    return {"table": "Accuracy", "operator": operator, "dtype": kind, "head size": head_size, "tokens": tokens}


def fused(arguments: tuple[Tensor, ...], variant: str | None) -> Call:
    return lambda: kernel.fused_delta_rule(*arguments, CHUNK, variant)


def dual(arguments: tuple[Tensor, ...]) -> Call:
    projected, lengths, *weights = arguments
    return lambda: launch.dual_state_delta_rule(projected, lengths, tuple(weights), DUAL_CHUNK, Options())


def exact_of(arguments: tuple[Tensor, ...]) -> Call:
    return lambda: delta_rule.exactly(arguments, CHUNK)


def dual_exact(arguments: tuple[Tensor, ...]) -> Call:
    return lambda: dual_state.oracle(tuple(t.double() if t.is_floating_point() else t for t in arguments), DUAL_CHUNK)


def checked(call: Call, exact: Call, tolerance: float) -> dict[str, Any]:
    """The relative error, and what is wrong if it is too large, or if a call fails for want of memory or else."""
    try:
        found, expected = call(), exact()
        machine.synchronize()
    except (RuntimeError, ValueError, TritonError) as error:
        return {"wrong": f"{type(error).__name__}: {error}"[:300]}
    if not found.isfinite().all():
        return {"wrong": "not finite"}
    error = delta_rule.relative_error(found, expected)
    return {"relative error": error} | ({"wrong": f"more than {tolerance:.0e}"} if error > tolerance else {})


def on_device(arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(t.to(machine.device) for t in arguments)
