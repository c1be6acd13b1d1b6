"""Which opsets of the standard operators an export may use."""

from lam_engines.errors import LamError

DEFAULT_OPSET = 20
"""The lowest opset with Gelu: at 18 it is spelled out in five nodes; 17 cannot be reached by PyTorch's exporter, and 23
gives the same nodes to fewer runtimes."""
OPSETS = range(18, 24)


def check_opset(opset: int) -> None:
    """See that a graph of this opset can be exported.

    Raises:
        LamError: it cannot.
    """
    if opset not in OPSETS:
        raise LamError(f"expected opset {OPSETS[0]} to {OPSETS[-1]}, found {opset}")
