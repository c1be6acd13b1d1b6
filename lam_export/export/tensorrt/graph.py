"""Prepares a bundle's graph for TensorRT's parser."""

from copy import deepcopy

import onnx
import onnx_ir as ir
import onnxscript.optimizer
from google.protobuf.message import DecodeError

from lam_engines.bundles.bundle import Bundle
from lam_export.export.graphs import inlined
from lam_export.export.opsets import DEFAULT_OPSET, OPSETS
from lam_plugins.fused_delta_rule import OP_DOMAIN

from . import PlanError


def load_graph(bundle: Bundle, name: str) -> onnx.ModelProto:
    """Load one of a bundle's graphs, after checking its hash.

    Raises:
        BundleError: the graph is missing or was altered.
        PlanError: it was not written by ``lam-export onnx`` or ``memory``, or in an opset that was never tried. Parsers
            read a later opset as if it were theirs.
    """
    again = f"make the bundle again: lam-export {'onnx' if bundle.manifest.memory_layer is None else 'memory'}"
    try:
        model = onnx.load_model_from_string(bundle.read(name))
    except DecodeError:
        raise PlanError(f"expected a graph in {bundle.path / name}, found no ONNX; {again}") from None
    has_operator = bundle.manifest.chunk_size is not None
    if has_operator and not fused_nodes(model):
        raise PlanError(f"expected a graph with nodes of {OP_DOMAIN} in {bundle.path / name}, found none; {again}")
    opset = next((entry.version for entry in model.opset_import if entry.domain == ""), 0)
    if opset not in OPSETS:
        raise PlanError(
            f"expected opset {OPSETS[0]} to {OPSETS[-1]} in {bundle.path / name}, found opset {opset}, "
            f"from its first node on ({model.graph.node[0].name}); {again} CHECKPOINT -o {bundle.path} --opset "
            f"{DEFAULT_OPSET} --force"
        )
    return model


def fused_nodes(model: onnx.ModelProto) -> list[str]:
    """The names of the fused operator's nodes, one per layer."""
    return [node.name for node in model.graph.node if node.domain == OP_DOMAIN]


def with_plugin(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose fused nodes have no local function. Every exported graph names the plugin in them.

    Without the local function, the parser takes the plugin or fails. With it, some parser versions silently inline the
    function, and the plan would be slow.
    """
    copy = deepcopy(model)
    del copy.functions[:]
    copy.functions.extend(function for function in model.functions if function.domain != OP_DOMAIN)
    return copy


def without_plugin(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with standard operators only, and with folded constants.

    Folding is necessary. The function computes its sizes with Shape and casts its convolution's weights, but TensorRT
    needs the number of channels and the weights of a grouped convolution as constants.
    """
    graph = ir.from_proto(inlined(model))
    onnxscript.optimizer.optimize(graph)
    return ir.to_proto(graph)
