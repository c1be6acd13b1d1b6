"""The whole model once more, with ``torch.compile``: the last part, since compiling takes longest."""

from gpu_evidence.record import Tell

from . import model


def run(tell: Tell) -> None:
    model.run(tell, compiled=True)
