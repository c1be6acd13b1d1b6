"""Traces the reference into an ONNX graph with one operator node per layer."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript
import torch

from lam_engines.contract import INPUTS, SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS, WINDOW
from lam_export.model.encoder import Encoder
from lam_export.model.forms.flat import Flat
from lam_plugins.dual_state_delta_rule.onnx_function import INTEGER_INPUTS
from lam_plugins.fused_delta_rule import OP_DOMAIN

from .operators import Operator, operator_of
from .opsets import DEFAULT_OPSET
from .passes import passes


class _Traced(torch.nn.Module):
    """The encoder with the requested outputs."""

    def __init__(self, encoder: Encoder, token_embeddings: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.token_embeddings = token_embeddings

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.encoder(*inputs)
        return outputs if self.token_embeddings else outputs[:1]


def onnx_from_encoder(
    encoder: Encoder, *, opset: int = DEFAULT_OPSET, token_embeddings: bool = False, verbose: bool = False
) -> onnx.ModelProto:
    """Export an encoder.

    Inputs: ``input_ids`` and ``attention_mask`` (int64, ``[batch, tokens]``, both dynamic, padding on the right).
    Outputs: ``sentence_embedding`` (float32, ``[batch, hidden]``) and, if requested, ``token_embeddings`` (float32,
    ``[batch, tokens, hidden]``). Graphs of the flat form have the constant ``window``, of zeros (see
    :meth:`Encoder.forward`).

    Args:
        encoder: a float32 encoder, or the result of :func:`half_precision`.
        opset: the opset of the standard operators, one of ``opsets.OPSETS``.
        token_embeddings: whether to add that output.
        verbose: show the exporter's own messages.
    """
    # The exporter would bake an example batch of 1 in as a constant.
    example = torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    sizes = {0: batch, 1: tokens}
    # Only the flat form can be cut into windows: in the other forms, state crosses the chunks.
    windowed = isinstance(encoder.layers[0].form, Flat)
    model = traced(
        _Traced(encoder, token_embeddings).eval(),
        (*example, torch.zeros(4, dtype=torch.int64)) if windowed else example,
        ((sizes, sizes, None) if windowed else (sizes, sizes),),
        inputs=[*INPUTS, WINDOW] if windowed else list(INPUTS),
        outputs=[SENTENCE_EMBEDDING] + [TOKEN_EMBEDDINGS] * token_embeddings,
        operator=operator_of(encoder, opset),
        opset=opset,
        # In float32, the worst of 2,000 single tokens lies near the parity limit, and rounding decides which token it
        # is. So graphs with token embeddings keep the fused kernel, with which they are known to pass.
        sum_residuals=not token_embeddings,
        verbose=verbose,
    )
    if windowed:
        # A constant, not an optional input: ONNX Runtime warns of those, and its OpenVINO provider refuses them. Our
        # engine makes it an input as it loads the graph.
        window = model.graph.inputs.pop()
        window.const_value = ir.tensor(np.zeros(4, np.int64), name=WINDOW)
        model.graph.initializers[WINDOW] = window
    return ir.to_proto(model)


def traced(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    dynamic_shapes: tuple[Any, ...],
    *,
    inputs: list[str],
    outputs: list[str],
    operator: Operator | None,
    opset: int,
    sum_residuals: bool,
    verbose: bool,
) -> ir.Model:
    """Trace a module into a graph with one operator node per layer.

    Args:
        module: the module to trace. Its part ``encoder`` is an :class:`Encoder`.
        example: example arguments of the module.
        dynamic_shapes: as for :func:`torch.onnx.export`.
        inputs, outputs: names for the graph's inputs and outputs.
        operator: the layers' operator; None if they consist of standard operators.
        opset: the opset of the standard operators.
        sum_residuals: see :class:`SumResiduals`.
        verbose: show the exporter's own messages.
    """
    with contextlib.nullcontext() if verbose else quiet(), _bodyless(operator) as translations:
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic_shapes,
            opset_version=opset,
            custom_translation_table=translations,
            optimize=True,
            verbose=verbose,
        )
    encoder = module.get_submodule("encoder")
    with_weight = {name for name, part in encoder.named_modules() if hasattr(part, "weight")}
    model: ir.Model = program.model  # type: ignore[union-attr]  # None is for the exporter without dynamo
    passes("encoder", with_weight, operator, sum_residuals=sum_residuals)(model)
    return model


@contextlib.contextmanager
def _bodyless(operator: Operator | None) -> Iterator[dict[Any, Callable[..., Any]]]:
    """Translations that make the exporter write the operator as one node.

    The exporter's version converter would inline a function with a body. So the node is exported without a body, with a
    temporarily registered schema, and the body is attached afterwards.
    """
    if operator is None:
        yield {}
        return
    name = operator.op_type
    parameter = onnx.defs.OpSchema.FormalParameter
    schema = onnx.defs.OpSchema(
        name,
        OP_DOMAIN,
        1,
        inputs=[parameter(i, "tensor(int32)" if i in INTEGER_INPUTS else "T") for i in operator.inputs],
        outputs=[parameter(o, "T") for o in operator.outputs],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)"], "")],
    )
    op = onnxscript.values.Op(onnxscript.values.Opset(OP_DOMAIN, 1), name, schema)

    onnx.defs.register_schema(schema)
    try:
        yield {operator.overload: operator.translate(op)}
    finally:
        onnx.defs.deregister_schema(name, 1, OP_DOMAIN)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter, which logs, warns and prints."""
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
