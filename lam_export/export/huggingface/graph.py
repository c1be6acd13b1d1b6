"""A bundle's graph with the outputs that other people's tools read."""

from copy import deepcopy

import onnx

from lam_engines.contract import LAST_HIDDEN_STATE, SENTENCE_EMBEDDING
from lam_engines.errors import BundleError


def with_last_hidden_state(model: onnx.ModelProto, layers: int, hidden_size: int) -> onnx.ModelProto:
    """A copy whose outputs are ``sentence_embedding`` and ``last_hidden_state``, in this order.

    txtai takes the first output. sentence-transformers, fastembed and transformers.js take ``last_hidden_state`` and
    pool it themselves. That value, before the pooling, is in every graph, whatever its form, opset and outputs.

    Args:
        model: one of a bundle's graphs.
        layers: the number of layers.
        hidden_size: the size of an embedding.

    Raises:
        BundleError: the graph was not written by ``lam-export onnx``.
    """
    copy = deepcopy(model)
    graph = copy.graph
    last = f"layers.{layers - 1}.ffn_norm"
    sentence = [value for value in graph.output if value.name == SENTENCE_EMBEDDING]
    if not sentence or not any(last in node.output for node in graph.node):
        raise BundleError(
            f"expected a graph with the output {SENTENCE_EMBEDDING} and the value {last}, found another; make the "
            f"bundle again: lam-export onnx"
        )
    shape: list[str | int | None] = ["batch", "tokens", hidden_size]
    hidden = onnx.helper.make_tensor_value_info(LAST_HIDDEN_STATE, onnx.TensorProto.FLOAT, shape)
    del graph.output[:]
    graph.output.extend([*sentence, hidden])
    graph.node.append(onnx.helper.make_node("Identity", [last], [LAST_HIDDEN_STATE], name=LAST_HIDDEN_STATE))
    onnx.checker.check_model(copy)
    return copy
