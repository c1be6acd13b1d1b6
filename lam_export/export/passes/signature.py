"""Removes traces of the exporting machine, and signs the model."""

import onnx_ir as ir

from lam_export.version import __version__


class Sign(ir.passes.InPlacePass):
    """Removes stack traces, local paths and notes from a model, and writes its producer."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Change the model in place."""
        for graph in (model.graph, *(f.graph for f in model.functions.values())):
            graph.doc_string = None
            graph.metadata_props.clear()
            for node in graph.all_nodes():
                node.metadata_props.clear()  # stack traces with local paths
                node.doc_string = None
                for value in node.outputs:
                    value.metadata_props.clear()
            for value in (*graph.inputs, *graph.initializers.values()):
                value.metadata_props.clear()
        model.metadata_props.clear()
        model.doc_string = None
        model.graph.name = "lam"
        model.producer_name, model.producer_version = "lam-export", __version__
        return ir.passes.PassResult(model, modified=True)
