"""Find the parts of the nodes inside the fused operator from the structure of its definition."""

import re
from collections.abc import Iterator, Sequence

from .nodes import Node
from .parts import Part

_REDUCTIONS = re.compile(r"Reduce\w+|LpNormalization")
_ELEMENTWISE = re.compile("Add|Sub|Mul|Div|Max|Clip|Sqrt|Reciprocal|Pow|Abs")
_LAYOUT = re.compile("Transpose|Reshape|Pad|Slice|Split|Concat|Unsqueeze|Squeeze|Expand|Cast|CastLike|Identity")
_WHOLE_ROWS = "LpNormalization"
"""The norm whose result is the divided row, while the other reductions give one number for each row."""


def operator_parts(nodes: Sequence[Node], source: str, sink: str) -> Iterator[tuple[Node, Part]]:
    """The parts of the nodes between two values.

    - convolutions: all nodes on the way to the value ``convolved``;
    - gates: nodes that compute from the projection without ``convolved``, and nodes that apply their results;
    - norms: reductions before the rule's first product, nodes that divide by them, and all nodes after ``mixed``;
    - rule: all other nodes.

    Without values of the names ``convolved`` and ``mixed``, all nodes get the part ``operator``.

    Args:
        nodes: producers before their users.
        source: name of the operator's input, ``projected``.
        sink: name of the operator's result.
    """
    below = _below(nodes, {source})
    on_path = [node for node in nodes if below.intersection(node.outputs) and source not in node.outputs]
    needed = set(_above(on_path, {sink}))
    on_path = [node for node in on_path if node in needed]
    convolved, mixed = (_named(on_path, name) for name in ("convolved", "mixed"))
    if convolved is None or mixed is None:
        yield from ((node, "operator") for node in on_path)
        return
    convolution = {node.outputs[0] for node in _above(on_path, {convolved})}
    after_convolution, after_rule = _below(on_path, {convolved}), _below(on_path, {mixed})
    norms: set[str] = set()  # one number for each row, from a reduction
    gates: set[str] = set()  # values that come from gates only
    products: set[str] = set()  # products of the rule, and what is computed from them
    parts: dict[str, Part] = {}
    for node in on_path:
        first, inputs = node.outputs[0], [x for x in node.inputs if x in below]
        part: Part = "rule"
        if first in convolution:
            part = "convolutions"
        elif first not in after_convolution:
            part = "gates"
            gates |= set(node.outputs)
        elif node.kind == "MatMul" and first not in after_rule:
            products |= set(node.outputs)
        elif gates.intersection(inputs):
            part = "gates"
            if all(x in gates or x in norms for x in inputs):
                gates |= set(node.outputs)
        elif first in after_rule and first != mixed:
            part = parts[inputs[0]] if _LAYOUT.fullmatch(node.kind) and inputs[0] in after_rule - {mixed} else "norms"
        elif products.intersection(inputs):
            products |= set(node.outputs)
        elif _REDUCTIONS.fullmatch(node.kind):
            part = "norms"
            if node.kind != _WHOLE_ROWS:
                norms |= set(node.outputs)
        elif norms.intersection(inputs) and (_ELEMENTWISE.fullmatch(node.kind) or _LAYOUT.fullmatch(node.kind)):
            part = "norms"
            if all(x in norms for x in inputs):
                norms |= set(node.outputs)
        parts |= dict.fromkeys(node.outputs, part)
        yield node, part


def _named(nodes: Sequence[Node], name: str) -> str | None:
    """The value of that name, with any prefix and suffix that an inliner added."""
    pattern = re.compile(rf"(?:.*[._])?{name}(?:__\d+)?")
    return next((value for node in nodes for value in node.outputs if pattern.fullmatch(value)), None)


def _below(nodes: Sequence[Node], values: set[str]) -> set[str]:
    """The values and everything that is computed from them, except sizes."""
    found = set(values)
    for node in nodes:
        if node.kind != "Shape" and found.intersection(node.inputs):
            found |= set(node.outputs)
    return found


def _above(nodes: Sequence[Node], values: set[str]) -> list[Node]:
    """The nodes that compute the values."""
    found, needed = [], set(values)
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            found.append(node)
            needed |= set(node.inputs)
    return found
