"""Trace the reference into an ONNX graph with one node of its operator per layer."""

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
    """The encoder with the outputs that were asked for."""

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

    Inputs ``input_ids`` and ``attention_mask`` (int64, ``[batch, tokens]``, both dynamic, padding on the right), and in
    the flat form ``window``, which stands at zeros unless it is given (see :meth:`Encoder.forward`);
    outputs ``sentence_embedding`` (float32, ``[batch, hidden]``) and, if asked for, ``token_embeddings``
    (``[batch, tokens, hidden]``).

    Args:
        encoder: in float32, or what :func:`half_precision` made of it.
        opset: of the standard operators, one of ``opsets.OPSETS``.
        token_embeddings: add that output.
        verbose: let the exporter's own messages through.
    """
    # An example batch of 1 would be baked in as a constant.
    example = torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    sizes = {0: batch, 1: tokens}
    # State crosses the chunks of the other forms.
    windowed = isinstance(encoder.layers[0].form, Flat)
    model = traced(
        _Traced(encoder, token_embeddings).eval(),
        (*example, torch.zeros(4, dtype=torch.int64)) if windowed else example,
        ((sizes, sizes, None) if windowed else (sizes, sizes),),
        inputs=[*INPUTS, WINDOW] if windowed else list(INPUTS),
        outputs=[SENTENCE_EMBEDDING] + [TOKEN_EMBEDDINGS] * token_embeddings,
        operator=operator_of(encoder, opset),
        opset=opset,
        # The worst of 2,000 single tokens lies near the parity limit in float32, and which one it is changes with the
        # rounding: graphs that give them keep the fused kernel, with which they are known to hold it.
        sum_residuals=not token_embeddings,
        verbose=verbose,
    )
    if windowed:
        window = model.graph.inputs[len(INPUTS)]
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
    """A module whose part ``encoder`` is an :class:`Encoder`, as a graph with one node of the operator per layer.

    Args:
        module: what is traced.
        example: its arguments.
        dynamic_shapes: as of :func:`torch.onnx.export`.
        inputs, outputs: the names that they get.
        operator: of the encoder's layers; None if they are made of standard ones.
        opset: of the standard operators.
        sum_residuals: see :class:`SumResiduals`.
        verbose: let the exporter's own messages through.
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
    """For the exporter: an onnxscript call of the operator that stays a node.

    A function with a body would be inlined by the exporter's version converter, so the node is exported without one,
    against a schema that is registered meanwhile, and the body is attached afterwards.
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
