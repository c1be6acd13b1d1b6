"""Adds the definition of the fused nodes."""

import onnx_ir as ir

from lam_export.export.operators import Operator
from lam_plugins.fused_delta_rule import OP_DOMAIN, PLUGIN_NAMESPACE


class AttachFunction(ir.passes.InPlacePass):
    """Adds the operator's function to the model, and gives its nodes the attributes that name TensorRT's plugin."""

    def __init__(self, operator: Operator) -> None:
        """Take the operator whose nodes are in the graph."""
        self._operator = operator

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change the model in place."""
        body = ir.serde.deserialize_function(self._operator.function)
        body.opset_imports[""] = model.opset_imports[""]
        # TensorRT's parser confuses a function's formal input with an outer tensor of the same name.
        for value in body.inputs:
            value.name = f"{body.name}.{value.name}"
        model.functions[body.identifier()] = body
        model.opset_imports[OP_DOMAIN] = 1
        for node in model.graph:
            if node.domain == OP_DOMAIN and self._operator.plugin:
                # TensorRT's parser reads these. aot asks for a kernel that is compiled into the plan.
                node.attributes["plugin_namespace"] = ir.AttrString("plugin_namespace", PLUGIN_NAMESPACE)
                node.attributes["plugin_version"] = ir.AttrString("plugin_version", "1")
                node.attributes["aot"] = ir.AttrInt64("aot", 1)
        return ir.passes.PassResult(model, modified=True)
