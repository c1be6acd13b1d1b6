"""The whole model in float16 beside MiniLM with fused attention, replayed as CUDA graphs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from triton.errors import TritonError

from gpu_evidence import machine, models, weights
from gpu_evidence.minilm import MiniLm
from gpu_evidence.record import Row, Tell
from lam_export.evidence.metrics import diff

SHAPES = ((2, 7),) if machine.tiny else ((1, 128), (1, 512), (1, 4_096), (1, 32_768), (64, 128), (256, 32))
COMPILER = "aot_eager" if machine.tiny else "inductor"
"""On a CPU the compiler would write other code anyway."""
MOST_ATTENTION = 2**32
"""Bytes of attention scores in float64 up to which MiniLM is compared; beyond, only its time is known."""

Exact = Callable[[Tensor], Tensor | None]


@torch.inference_mode()
def run(tell: Tell, *, compiled: bool = False) -> None:
    """Tell of each shape and model.

    ``compiled`` is with ``torch.compile``, which compiles one layer for each shape; all layers share it.
    """
    lam, (bert, heads) = models.encoder(), weights.transformer()
    exact_lam, minilm = models.reference(lam), MiniLm(bert, heads)
    exact_minilm = MiniLm(bert, heads).double().to(machine.device)

    def comparable(ids: Tensor) -> Tensor | None:
        return exact_minilm(ids) if 8 * heads * len(ids) * ids.shape[1] ** 2 <= MOST_ATTENTION else None

    candidates: list[tuple[str, str, nn.Module, Exact]] = [
        ("LAM", "the operator", models.HalfEncoder(lam, plain=False), exact_lam),
        ("LAM", "plain PyTorch", models.HalfEncoder(lam, plain=True), exact_lam),
        ("MiniLM", "fused attention", minilm.half().to(machine.device), comparable),
    ]
    for batch, tokens in SHAPES:
        ids = weights.texts(batch, tokens, lam.config.vocab_size).to(machine.device)
        for name, how, model, exact in candidates:
            row: Row = {"table": f"{batch} x {tokens:,} tokens", "model": name, "with": how}
            tell(row | measured(model, exact, ids, compiled=compiled))
            machine.free()


def measured(model: nn.Module, exact: Exact, ids: Tensor, *, compiled: bool) -> Row:
    """Time and accuracy; or what is wrong, and no time."""
    try:
        if compiled:
            torch._dynamo.reset()  # code for another shape would count against the limit of recompilations
            for layer in model.layers:
                layer.compile(dynamic=False, backend=COMPILER)
        found, expected = model(ids), exact(ids)
        row: Row = {"1 - cosine": "not compared", "max-abs": "not compared"}
        if expected is not None:
            apart = diff(found.cpu().numpy(), expected.cpu().numpy(), models.HALF)
            row = {"1 - cosine": max(0.0, 1 - float(apart.cosine)), "max-abs": float(apart.max_abs)}
            if not apart:
                return row | {"wrong": str(apart)}
        del found, expected
        machine.free()
        seconds = machine.seconds_of(lambda: model(ids))
    except (RuntimeError, ValueError, TritonError) as error:  # out of memory, no compiler, what no graph can hold
        return {"wrong": f"{type(error).__name__}: {error}"[:300]}
    return row | {"ms": seconds * 1e3, "tokens/s": ids.numel() / seconds}
