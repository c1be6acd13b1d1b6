"""Writes residual sums so that ONNX Runtime does not fuse them with their norms."""

import onnx_ir as ir


class SumResiduals(ir.passes.InPlacePass):
    """Replaces every ``Add`` that only a ``LayerNormalization`` reads by a ``Sum`` of the same two values.

    ONNX Runtime fuses an ``Add`` and its norm into ``SkipLayerNormalization``. On a CPU, that kernel takes 3 to 4 times
    as long as the two operators (ONNX Runtime 1.31, ``[1024, 384]`` on one thread: 2.2 ms against 0.5 to 0.8 ms).
    It does not fuse a ``Sum``. Other runtimes treat ``Add`` and ``Sum`` alike.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change the model in place."""
        modified = False
        for node in model.graph:
            readers = [usage.node.op_type for usage in node.outputs[0].uses()]
            if node.op_type == "Add" and readers == ["LayerNormalization"]:
                node.op_type = "Sum"
                node.name = (node.name or "").replace("/Add", "/Sum")
                modified = True
        return ir.passes.PassResult(model, modified)
