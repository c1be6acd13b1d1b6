"""Which part of the model each node of an exported graph is laid to."""

from collections import Counter
from pathlib import Path

import onnx
import pytest
from tiny import LAYERS

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import INLINED_MODEL, MODEL
from lam_export.anatomy.graph import node_places, places_of, spread
from lam_export.anatomy.nodes import Node, nodes_of
from lam_export.anatomy.operator_parts import operator_parts
from lam_export.anatomy.parts import Place
from lam_export.export.graphs import with_named_functions


@pytest.fixture(scope="module", params=[MODEL, INLINED_MODEL])
def model(request: pytest.FixtureRequest, tiny_bundle: Path) -> onnx.ModelProto:
    return onnx.load_from_string(Bundle(tiny_bundle).read(request.param))


@pytest.fixture(scope="module")
def nodes(model: onnx.ModelProto) -> list[Node]:
    """All but constants, those in the functions in place of their calls."""
    named = with_named_functions(model)
    calls = {function.name for function in named.functions}
    inside = [node for function in named.functions for node in nodes_of(function.node)]
    return inside + [node for node in nodes_of(named.graph.node) if node.kind not in calls]


@pytest.fixture(scope="module")
def places(model: onnx.ModelProto) -> dict[str, Place]:
    return places_of(with_named_functions(model))


def parts(kind: str, nodes: list[Node], places: dict[str, Place]) -> Counter[str]:
    return Counter(places[node.outputs[0]].part for node in nodes if node.kind == kind)


def test_every_node_has_a_place(nodes: list[Node], places: dict[str, Place]) -> None:
    assert [node for node in nodes if node.outputs[0] not in places] == []
    assert all(places[node.outputs[0]].part not in ("other", "operator") for node in nodes)


def test_kinds_are_where_they_belong(nodes: list[Node], places: dict[str, Place]) -> None:
    assert parts("Conv", nodes, places) == {"convolutions": LAYERS}
    assert parts("Gelu", nodes, places) == {"FFN": 2 * LAYERS}
    assert parts("LayerNormalization", nodes, places) == {"norms": 1 + 2 * LAYERS}
    products = parts("MatMul", nodes, places)
    assert products["projections"] == products["FFN"] == 2 * LAYERS
    assert products["pooling"] == 1
    assert products["rule"] == sum(products.values()) - 4 * LAYERS - 1
    assert set(parts("Sigmoid", nodes, places)) <= {"gates", "convolutions"}
    assert parts("Shape", nodes, places).keys() == {"shapes"}


def test_each_layer_has_the_same(nodes: list[Node], places: dict[str, Place]) -> None:
    found = [
        Counter(places[n.outputs[0]].part for n in nodes if places[n.outputs[0]].layer == i) for i in range(LAYERS)
    ]
    for count in found:
        del count["shapes"]  # who first asks for a size that all use
    assert found == [found[0]] * LAYERS
    assert found[0].keys() == {"projections", "convolutions", "rule", "gates", "norms", "FFN"}


def test_what_an_optimiser_adds_belongs_to_its_user() -> None:
    nodes = [
        Node("reorder", "ReorderInput", ("x",), ("blocked",)),
        Node("conv", "Conv", ("blocked", "w"), ("made",)),
        Node("back", "ReorderOutput", ("made",), ("y",)),
        Node("fused", "BiasGelu", ("y",), ("layers.1.ffn_in",)),
    ]
    known = {"y": Place("convolutions", 1), "layers.1.ffn_in": Place("FFN", 1)}
    assert node_places(nodes, known) == [Place("convolutions", 1)] * 3 + [Place("FFN", 1)]


def test_names_that_an_optimiser_put_around_a_value() -> None:
    nodes = [Node("n", "Mul", ("a",), ("_inlfunc_Op_c128_4_layers.3.form.kb",))]
    assert node_places(nodes, {"layers.3.form.kb": Place("gates", 3)}) == [Place("gates", 3)]
    assert node_places(nodes, {}) == [Place("other")]


def test_sizes_are_a_part_of_their_own() -> None:
    nodes = [
        Node("a", "Shape", ("x",), ("size",)),
        Node("b", "Add", ("size", "one"), ("more",)),
        Node("c", "Expand", ("zero", "more"), ("zeros",)),
        Node("d", "Concat", ("x", "zeros"), ("y",)),
    ]
    places = spread(nodes, {"x": Place("norms", 2), "y": Place("rule", 2)})
    assert [places[node.outputs[0]] for node in nodes] == [Place("shapes", 2)] * 2 + [Place("rule", 2)] * 2


def test_an_operator_without_the_names_is_not_told_apart() -> None:
    nodes = [Node("a", "Mul", ("in", "w"), ("b",)), Node("b", "Add", ("b", "w"), ("out",))]
    assert [part for _, part in operator_parts(nodes, "in", "out")] == ["operator"] * 2
