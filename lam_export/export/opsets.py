"""Which opsets of the standard operators an export may use."""

DEFAULT_OPSET = 20
"""The lowest opset with Gelu: at 18 it is spelled out in five nodes; 17 cannot be reached by PyTorch's exporter, and 23
gives the same nodes to fewer runtimes."""
OPSETS = range(18, 24)
