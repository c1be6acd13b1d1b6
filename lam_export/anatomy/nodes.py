"""A node of any runtime's graph."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import onnx


class Node(NamedTuple):
    """A node of any runtime's graph."""

    name: str
    kind: str
    """Kind of the operator, such as ``MatMul``."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def nodes_of(nodes: "Iterable[onnx.NodeProto]") -> list[Node]:
    """The nodes of a graph or a function, in order and without constants."""
    return [
        Node(node.name, node.op_type, tuple(filter(None, node.input)), tuple(filter(None, node.output)))
        for node in nodes
        if node.op_type != "Constant"
    ]
