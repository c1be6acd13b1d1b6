"""Trace the reference into an ONNX graph with one node of the fused operator per layer."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import onnx
import onnx_ir as ir
import onnxscript
import torch
from onnxscript.onnx_types import TensorType

from lam_export.export.names import name_parts
from lam_export.model.encoder import Encoder
from lam_plugins.fused_delta_rule import OP_DOMAIN, PLUGIN_NAMESPACE, op_type
from lam_plugins.fused_delta_rule.onnx_function import FUNCTION_INPUTS, fused_delta_rule_function

INPUTS = ("input_ids", "attention_mask")
SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS = "sentence_embedding", "token_embeddings"
DEFAULT_OPSET = 20
"""The lowest opset with Gelu: at 18 it is spelled out in five nodes; 17 cannot be reached by PyTorch's exporter, and 23
gives the same nodes to fewer runtimes."""
OPSETS = range(18, 24)


class _Traced(torch.nn.Module):
    """The encoder with the outputs that were asked for."""

    def __init__(self, encoder: Encoder, token_embeddings: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.token_embeddings = token_embeddings

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.encoder(input_ids, attention_mask)
        return outputs if self.token_embeddings else outputs[:1]


def onnx_from_encoder(
    encoder: Encoder, *, opset: int = DEFAULT_OPSET, token_embeddings: bool = False, verbose: bool = False
) -> onnx.ModelProto:
    """Export an encoder whose layers are of the flat form.

    Inputs ``input_ids`` and ``attention_mask`` (int64, ``[batch, tokens]``, both dynamic, padding on the right);
    outputs ``sentence_embedding`` (float32, ``[batch, hidden]``) and, if asked for, ``token_embeddings``
    (``[batch, tokens, hidden]``).

    Args:
        encoder: in float32, or what :func:`half_precision` made of it.
        opset: of the standard operators, one of :data:`OPSETS`.
        token_embeddings: add that output.
        verbose: let the exporter's own messages through.
    """
    chunk_size = encoder.chunk_size
    # An example batch of 1 would be baked in as a constant.
    example = torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    outputs = [SENTENCE_EMBEDDING] + [TOKEN_EMBEDDINGS] * token_embeddings
    with contextlib.nullcontext() if verbose else quiet(), _bodyless(chunk_size) as translation:
        program = torch.onnx.export(
            _Traced(encoder, token_embeddings).eval(),
            example,
            dynamo=True,
            input_names=list(INPUTS),
            output_names=outputs,
            dynamic_shapes=({0: batch, 1: tokens}, {0: batch, 1: tokens}),
            opset_version=opset,
            custom_translation_table={torch.ops.lam.fused_delta_rule.default: translation},
            optimize=True,
            verbose=verbose,
        )
    model = program.model  # type: ignore[union-attr]  # None is for the exporter without dynamo
    name_parts(model, "encoder")
    _attach(model, fused_delta_rule_function(chunk_size, encoder.config.hidden_size, opset))
    _finish(model, encoder.config.hidden_size)
    return ir.to_proto(model)


@contextlib.contextmanager
def _bodyless(chunk_size: int) -> Iterator[Callable[..., Any]]:
    """An onnxscript call of the operator that stays a node.

    A function with a body would be inlined by the exporter's version converter, so the node is exported without one,
    against a schema that is registered meanwhile, and the body is attached afterwards.
    """
    name = op_type(chunk_size)
    parameter = onnx.defs.OpSchema.FormalParameter
    schema = onnx.defs.OpSchema(
        name,
        OP_DOMAIN,
        1,
        inputs=[parameter(i, "tensor(int32)" if i == "lengths" else "T") for i in FUNCTION_INPUTS],
        outputs=[parameter("heads", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "")],
    )
    op = onnxscript.values.Op(onnxscript.values.Opset(OP_DOMAIN, 1), name, schema)

    def fused_delta_rule(
        projected: TensorType,
        lengths: TensorType,
        conv_weight: TensorType,
        conv_bias: TensorType,
        norm_weight: TensorType,
        blend: TensorType,
        chunk_size: int,
    ) -> TensorType:
        return op(projected, lengths, conv_weight, conv_bias, norm_weight, blend)

    onnx.defs.register_schema(schema)
    try:
        yield fused_delta_rule
    finally:
        onnx.defs.deregister_schema(name, 1, OP_DOMAIN)


def _attach(model: ir.Model, function: onnx.FunctionProto) -> None:
    """Give the fused nodes their definition, and the attributes by which TensorRT's parser picks its plugin."""
    body = ir.serde.deserialize_function(function)
    body.opset_imports[""] = model.opset_imports[""]
    # TensorRT's parser takes an outer tensor of the same name for a function's formal input.
    for value in body.inputs:
        value.name = f"{function.name}.{value.name}"
    model.functions[body.identifier()] = body
    model.opset_imports[OP_DOMAIN] = 1
    for node in model.graph:
        if node.domain == OP_DOMAIN:
            node.attributes["plugin_namespace"] = ir.AttrString("plugin_namespace", PLUGIN_NAMESPACE)
            node.attributes["plugin_version"] = ir.AttrString("plugin_version", "1")
            node.attributes["aot"] = ir.AttrInt64("aot", 1)


def _finish(model: ir.Model, hidden_size: int) -> None:
    """Drop what the exporter remembers of the machine it ran on; sign the model."""
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
    from lam_export import __version__

    model.producer_name, model.producer_version = "lam-export", __version__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's chatter (it logs, warns and prints) from the user."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
