"""The ONNX opsets that an export may use."""

from lam_engines.errors import LamError

DEFAULT_OPSET = 20
"""The lowest opset with a Gelu operator. Below it, Gelu is five nodes. PyTorch's exporter cannot write opset 17, and 23
gives the same nodes, but fewer runtimes load it."""
OPSETS = range(18, 24)


def check_opset(opset: int) -> None:
    """See that a graph can be exported in this opset.

    Raises:
        LamError: it cannot.
    """
    if opset not in OPSETS:
        raise LamError(f"expected opset {OPSETS[0]} to {OPSETS[-1]}, found {opset}")
