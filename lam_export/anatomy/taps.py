"""Variants of an exported model: with its inner values as outputs, and cut at each inner value."""

from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING

from lam_plugins.fused_delta_rule import OP_DOMAIN

if TYPE_CHECKING:
    import onnx

OWN = ".own"
"""Suffix of a value that a cut model computes. The value without the suffix is an input."""


def open_operators(model: "onnx.ModelProto", results: Collection[str], steps: Collection[str]) -> "onnx.ModelProto":
    """A copy whose fused operators give their steps as further outputs.

    For example, the function of node ``layers.3.form`` has a value ``mixed``, so the node gets the output
    ``layers.3.form.mixed``.

    Args:
        model: an exported model.
        results: names of the results of operators to open. A function stays closed if one of its calls has another
            result.
        steps: names of values in the function. Names that the function lacks are left out.
    """
    opened = deepcopy(model)
    for function in _operators(opened):
        calls = list(_calls(opened, function))
        if all(node.output[0] in results for node in calls):
            function.output.extend(name for node in function.node for name in node.output if name in steps)
            for node in calls:
                node.output.extend(f"{node.output[0]}.{name}" for name in function.output[1:])
    return opened


def with_outputs(model: "onnx.ModelProto", names: Collection[str]) -> "onnx.ModelProto":
    """A copy whose outputs are the values ``names``. The runtime infers their types and shapes."""
    import onnx

    shown = deepcopy(model)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return shown


def cut(model: "onnx.ModelProto", types: Mapping[str, int]) -> "onnx.ModelProto":
    """A copy in which each part reads inputs of the model instead of the results of the part before.

    Each value ``NAME`` becomes an input. What the model computes for it becomes the output ``NAME.own``.

    Args:
        model: a model from :func:`open_operators`.
        types: name of a value to its element type (``TensorProto.DataType``). It must hold all steps of the operators.
    """
    from onnx import helper

    own = with_outputs(model, [name + OWN for name in types])
    for function in _operators(own):
        steps = list(function.output[1:])
        _rename_results(function, steps)
        function.input.extend(steps)
        function.output[1:] = [step + OWN for step in steps]
        for node in _calls(own, function):
            node.input.extend(node.output[1:])
    _rename_results(own.graph, types)
    own.graph.input.extend(helper.make_tensor_value_info(name, kind, None) for name, kind in types.items())
    return own


def _operators(model: "onnx.ModelProto") -> "Iterator[onnx.FunctionProto]":
    return (function for function in model.functions if function.domain == OP_DOMAIN)


def _calls(model: "onnx.ModelProto", function: "onnx.FunctionProto") -> "Iterator[onnx.NodeProto]":
    name = (function.domain, function.name)
    return (node for node in model.graph.node if (node.domain, node.op_type) == name)


def _rename_results(holder: "onnx.GraphProto | onnx.FunctionProto", names: Collection[str]) -> None:
    """Rename values where they are computed. The nodes that read them keep the old name."""
    for node in holder.node:
        node.output[:] = [name + OWN if name in names else name for name in node.output]
