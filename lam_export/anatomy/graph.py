"""Find the part of every node of a graph, which may be exported or made by a runtime's optimiser.

The name of a node says the part if the node is named after a PyTorch module. Inside the fused operator, the part
follows from the structure around two named values, ``convolved`` and ``mixed``. All other nodes, and nodes that an
optimiser added or renamed, get the part of the nodes that use their results.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .nodes import Node, nodes_of
from .operator_parts import operator_parts
from .parts import Place, layer_of, place_of_module

if TYPE_CHECKING:
    import onnx

_OPERATOR = re.compile(r"layers\.\d+\.form$")
_INNER = re.compile(r"layers\.\d+\.form\.(?!in_proj\b).+")
_SIZES = re.compile("Add|Sub|Mul|Div|Mod|Min|Max|Neg|Concat|Squeeze|Unsqueeze|Gather|Slice|Cast|Range")
"""Operators that compute sizes if all their inputs are sizes and constants."""


def places_of(model: "onnx.ModelProto") -> dict[str, Place]:
    """The place of every value that a model computes, by name.

    Args:
        model: an exported model, with the functions of :func:`with_named_functions` or without functions.
    """
    outer = nodes_of(model.graph.node)
    places = {value: place for node in outer if (place := place_of_module(node.name)) for value in node.outputs}
    calls = {function.name: function for function in model.functions}
    for call in model.graph.node:
        if function := calls.get(call.op_type):
            inside = nodes_of(function.node)
            places |= _operator_places(inside, function.input[0], function.output[0], layer_of(call.output[0]))
            if result := places.get(function.output[0]):
                places[call.output[0]] = result
    for node in outer:
        for value in node.outputs:
            if _OPERATOR.match(value) and node.kind not in calls:  # it was inlined
                places |= _operator_places(outer, f"{value}.in_proj", value, layer_of(value))
    last = max((place.layer for place in places.values() if place.layer is not None), default=None)
    after = {value for value, place in places.items() if place == Place("norms", last)}
    for node in outer:
        if after.intersection(node.inputs) and not any(value in places for value in node.outputs):
            after |= set(node.outputs)
            if layer_of(node.name) is None:
                places |= dict.fromkeys(node.outputs, Place("pooling"))
    return spread(outer, places)


def places_of_nodes(model: "onnx.ModelProto") -> dict[str, Place]:
    """The place of every node of a model, by the node's name. A node that calls a function is an operator."""
    places = places_of(model)
    calls = {function.name for function in model.functions}
    return {
        node.name: Place("operator", layer_of(node.name)) if node.kind in calls else places[node.outputs[0]]
        for node in nodes_of(model.graph.node)
        if node.outputs[0] in places
    }


def _operator_places(nodes: Sequence[Node], source: str, sink: str, layer: int | None) -> dict[str, Place]:
    parts = operator_parts(nodes, source, sink)
    places = {value: Place(part, layer) for node, part in parts for value in node.outputs}
    return spread(nodes, places) if source not in {value for node in nodes for value in node.outputs} else places


def spread(nodes: Sequence[Node], known: Mapping[str, Place]) -> dict[str, Place]:
    """Find places for the values of unknown nodes.

    A value gets the place of the first node that uses it. Where that place is unknown, it gets the place of the node
    that made its inputs. Sizes have many users, so they are a part of their own.

    Args:
        nodes: all nodes, producers before their users.
        known: name of a value to its place.
    """
    places = dict(known)
    made = {value for node in nodes for value in node.outputs}
    sizes: set[str] = set()
    for node in nodes:
        of_data = [x for x in node.inputs if x in made and x not in sizes]
        if node.kind == "Shape" or (_SIZES.fullmatch(node.kind) and not of_data and sizes.intersection(node.inputs)):
            sizes |= set(node.outputs)
            near = [places[x].layer for x in node.inputs if x in places]
            layers = [layer for layer in (layer_of(node.outputs[0]), *near) if layer is not None]
            places |= dict.fromkeys(node.outputs, Place("shapes", layers[0] if layers else None))
    users: dict[str, Node] = {}
    for node in reversed(nodes):
        users |= dict.fromkeys(node.inputs, node)

    def used_by(node: Node) -> Iterable[str]:
        return (result for value in node.outputs if value in users for result in users[value].outputs)

    _fill(reversed(nodes), places, used_by)
    _fill(nodes, places, lambda node: node.inputs)
    _fill(reversed(nodes), places, used_by, sizes_too=True)
    return places


def _fill(
    nodes: Iterable[Node],
    places: dict[str, Place],
    around: Callable[[Node], Iterable[str]],
    *,
    sizes_too: bool = False,
) -> None:
    for node in nodes:
        if not any(value in places for value in node.outputs):
            near = (places[x] for x in around(node) if x in places)
            if found := next((place for place in near if sizes_too or place.part != "shapes"), None):
                places |= dict.fromkeys(node.outputs, found)


def node_places(nodes: Sequence[Node], known: Mapping[str, Place]) -> list[Place]:
    """The place of each node of a graph that a runtime's optimiser made.

    Args:
        nodes: nodes of the optimised graph, producers before their users.
        known: places of the values of the original graph.
    """
    named = {}
    for node in nodes:
        for value in node.outputs:
            inner = _INNER.search(value)
            if place := known.get(value) or (known.get(inner[0]) if inner else None) or place_of_module(node.name):
                named[value] = place
    places = spread(nodes, named)
    return [next((places[x] for x in node.outputs if x in places), Place("other")) for node in nodes]
