"""Gives an exported graph the names of the PyTorch modules that it came from."""

from collections import Counter
from collections.abc import Collection

import onnx_ir as ir

_SCOPES = "pkg.torch.onnx.name_scopes"
"""The metadata with a node's modules, the outermost first, and the node's own name last."""


class NameParts(ir.passes.InPlacePass):
    """Names nodes, module outputs and weights as PyTorch does.

    A node is named after its module and operator (``layers.3.ffn_in/MatMul``), and a module's result after the module
    (``layers.3.ffn_in``). A matrix that the exporter transposed is named after its parameter
    (``layers.3.ffn_in.weight.T``). So profilers and inspectors use the same names as the reference's
    ``get_submodule``. Names of inputs and outputs stay. The pass needs the exporter's metadata.
    """

    def __init__(self, root: str, with_weight: Collection[str]) -> None:
        """Take the root module and its parts.

        Args:
            root: the module that the names are relative to, ``encoder``.
            with_weight: names of the modules that have a parameter ``weight``.
        """
        self._root = root
        self._with_weight = with_weight

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change the model in place."""
        graph, root = model.graph, self._root
        fixed = {value.name for value in (*graph.inputs, *graph.outputs)}
        last: dict[str, ir.Value] = {}
        seen: Counter[str] = Counter()
        for node in graph:
            module = _module(node, root)
            name = f"{module}/{node.op_type}" if module else node.op_type
            seen[name] += 1
            node.name = name if seen[name] == 1 else f"{name}.{seen[name]}"
            if "." in module and not module.rpartition(".")[2].isdigit():  # a part of a layer, not the layer itself
                last[module] = node.outputs[0]
                weight = node.inputs[1] if node.op_type == "MatMul" and module in self._with_weight else None
                if weight is not None and weight.is_initializer() and not (weight.name or "").startswith(root):
                    weight.name = f"{module}.weight.T"
        for module, value in last.items():
            if value.name not in fixed:
                value.name = module
        for name, value in list(graph.initializers.items()):
            if name.startswith(f"{root}."):
                value.name = name.removeprefix(f"{root}.")
        return ir.passes.PassResult(model, modified=True)


def _module(node: ir.Node, root: str) -> str:
    scopes = node.metadata_props.get(_SCOPES)
    if scopes is None:
        return ""
    # A list of strings, written as Python does.
    names = [name.strip(" '\"") for name in scopes.strip("[]").split(",")]
    inside = len(names) > 1 and names[-2].split(".")[0] == root
    return names[-2].removeprefix(root).removeprefix(".") if inside else ""
