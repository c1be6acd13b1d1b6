"""The memory step as a stateful ONNX graph: state in, state out, recall."""

import contextlib

import onnx
import onnx_ir as ir
import torch

from lam_engines.memories.state import INPUTS, OUTPUTS, PAST, PRESENT
from lam_export.model.memory_step import Memory

from .passes.signature import Sign
from .trace import quiet


def onnx_from_memory(memory: Memory, *, opset: int, verbose: bool = False) -> onnx.ModelProto:
    """Export a memory.

    Inputs ``key`` and ``value`` (float32, ``[batch, hidden]``), ``query`` (``[batch, queries, hidden]``), ``store``
    (bool, ``[batch, 1]``) and the state: ``past_fast`` and ``past_slow`` (``[batch, heads, size, size]``) and
    ``past_psi`` (``[batch, heads]``), zeros for an empty memory. Outputs ``recall`` (``[batch, queries, hidden]``),
    ``stored`` (``[batch, hidden]``) and the state after the store, ``present_fast``, ``present_slow`` and
    ``present_psi``. Each batch row is its own memory. Batch and queries are dynamic, and there may be no query.
    :meth:`Memory.forward` explains all of them.

    Args:
        memory: in float32.
        opset: of the standard operators, one of ``opsets.OPSETS``.
        verbose: let the exporter's own messages through.
    """
    hidden = memory.heads * memory.head_size
    batch, queries = torch.export.Dim("batch"), torch.export.Dim("queries")
    # The exporter bakes a size of 1 in as a constant, and merges two inputs that are the same tensor.
    vectors, asked = [torch.zeros(2, hidden) for _ in range(2)], torch.zeros(2, 3, hidden)
    example = (*vectors, asked, torch.ones(2, 1, dtype=torch.bool), *memory.empty(2))
    names = [*INPUTS, *PAST]
    with contextlib.nullcontext() if verbose else quiet():
        program = torch.onnx.export(
            memory,
            example,
            dynamo=True,
            input_names=names,
            output_names=[*OUTPUTS, *PRESENT],
            dynamic_shapes=tuple({0: batch, 1: queries} if name == "query" else {0: batch} for name in names),
            opset_version=opset,
            optimize=True,
            verbose=verbose,
        )
    model: ir.Model = program.model  # type: ignore[union-attr]  # None is for the exporter without dynamo
    Sign()(model)
    return ir.to_proto(model)
