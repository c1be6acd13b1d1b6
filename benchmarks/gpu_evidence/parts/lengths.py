"""One text of each length of the published table: time, tokens a second and memory, in float16 with the operator."""

import torch

from gpu_evidence import machine, models, weights
from gpu_evidence.record import Row, Tell
from lam_export.evidence.metrics import diff

LENGTHS = (1, 40) if machine.tiny else tuple(2**power for power in range(7, 17))


@torch.inference_mode()
def run(tell: Tell) -> None:
    lam = models.encoder()
    exact, model = models.reference(lam), models.HalfEncoder(lam, plain=False)
    for tokens in LENGTHS:
        ids = weights.texts(1, tokens, lam.config.vocab_size).to(machine.device)
        apart = diff(model(ids).cpu().numpy(), exact(ids).cpu().numpy(), models.HALF)
        row: Row = {"tokens": tokens, "1 - cosine": max(0.0, 1 - float(apart.cosine)), "max-abs": float(apart.max_abs)}
        if not apart:
            tell(row | {"wrong": str(apart)})
            continue
        megabytes = machine.peak_megabytes(lambda ids=ids: model(ids))
        seconds = machine.seconds_of(lambda ids=ids: model(ids))
        tell(row | {"ms": seconds * 1e3, "tokens/s": tokens / seconds, "MB": megabytes})
        machine.free()
