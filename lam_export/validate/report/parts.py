"""Where in the network an error begins: compare each part of a graph with the same part of the reference.

An exported graph names its values after the PyTorch modules that gave them, so each value has its counterpart. The
graph is run twice. The first run is of the graph as it is, and shows the error that has accumulated up to each part. In
the second run, the graph is cut at every one of these values, and each part reads the reference's values. This shows
the error of each part alone.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lam_engines.contract import ATTENTION_MASK, INPUT_IDS, INPUTS, SENTENCE_EMBEDDING
from lam_export.anatomy.inner_values import STEPS, inner_values, value_names
from lam_export.anatomy.taps import OWN, cut, open_operators, with_outputs

from .schema import PartError

if TYPE_CHECKING:
    import onnx
    from onnxruntime import InferenceSession

    from lam_export.model.encoder import Encoder

_SLICE_TOKENS = 512
"""Padded tokens that are run together, unless one text is longer. Each takes 2 MB in a model of six layers of 384."""
_TOLERANCES = {"fp32": 1e-5, "fp16": 2e-3, "bf16": 2e-2, "int8": 5e-2}
"""Largest error of a part alone that rounding explains, by precision.

Sound graphs had at most 4e-7 in fp32, 4e-4 in fp16, 8 times as much in bf16, and 2.5e-2 in int8 with a scale for each
row."""
_QUANTISED = re.compile(r"embeddings\.norm|.*\.(in_proj|o_proj|ffn_in|ffn_out)")
"""The parts with matrices. In an int8 graph only these are rounded; all others are float32."""


def part_errors(
    graph: bytes, encoder: "Encoder", batches: Sequence[Mapping[str, np.ndarray]], precision: str
) -> tuple[PartError, ...]:
    """Compare a graph with the reference, part by part, in ONNX Runtime on the CPU.

    The parts are the modules after which the graph names its values, and ``sentence_embedding``. A fused operator is
    divided into its steps: ``layers.3.form.convolved``, then ``layers.3.form.mixed`` (the rule's result before it is
    normalised), then ``layers.3.form``. An activation or residual sum between two parts belongs to the later part.

    A part is a suspect if its own error is larger than rounding to the graph's precision explains. So the first fault
    is in the first suspect, even if there are several.

    Args:
        graph: an ONNX file.
        encoder: the reference. It is converted to float64 in place.
        batches: ``input_ids`` and ``attention_mask``, ``[B, L]`` int64 each. Padded tokens do not count. Some texts
            should have few tokens, where a wrong padding or eps shows most, and some should be longer than a chunk.
        precision: precision of the graph, as in the manifest.

    Returns:
        The parts in the order of computation. The result is empty for a graph without such names, and has no steps
        where the operators are inlined. A row that holds NaN or infinity counts as zero, and its part is a suspect.
    """
    import onnx
    from onnx import TensorProto, helper

    names = value_names(encoder)
    model = open_operators(onnx.load_from_string(graph), names, STEPS)
    # An operator's steps come before its result, which is its first output.
    parts = [name for node in model.graph.node for name in (*node.output[1:], *node.output[:1]) if name in names]
    if parts in ([], [SENTENCE_EMBEDDING]) or not batches:
        return ()
    whole = _session(with_outputs(model, parts))
    types = {o.name: TensorProto.DataType.Value(o.type[len("tensor(") : -1].upper()) for o in whole.get_outputs()}
    alone = _session(cut(model, types))
    total, own = _Errors(), _Errors()
    for feed in _slices(batches):
        valid = feed[ATTENTION_MASK] == 1
        reference = inner_values(encoder, parts, feed)
        for part, found in zip(parts, whole.run(parts, feed), strict=True):
            total.add(part, found, reference[part], valid)
        feed |= {part: reference[part].astype(helper.tensor_dtype_to_np_dtype(types[part])) for part in parts}
        for part, found in zip(parts, alone.run([part + OWN for part in parts], feed), strict=True):
            own.add(part, found, reference[part], valid)
    return tuple(
        PartError(
            part=part,
            total=total.relative_rms(part),
            own=own.relative_rms(part),
            suspect=part in own.not_finite or own.relative_rms(part) > _tolerance(part, precision),
        )
        for part in parts
    )


def _slices(batches: Sequence[Mapping[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    for batch in batches:
        texts, tokens = batch[INPUT_IDS].shape
        step = max(1, _SLICE_TOKENS // tokens)
        for start in range(0, texts, step):
            yield {name: batch[name][start : start + step] for name in INPUTS}


def _session(model: "onnx.ModelProto") -> "InferenceSession":
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # errors are raised, so they need not be logged too
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


class _Errors:
    """Squared errors and squares of each part, summed over slices."""

    def __init__(self) -> None:
        self._error: Counter[str] = Counter()
        self._reference: Counter[str] = Counter()
        self.not_finite: set[str] = set()

    def add(self, part: str, found: np.ndarray, reference: np.ndarray, valid: np.ndarray) -> None:
        if part != SENTENCE_EMBEDDING:
            found, reference = found[valid], reference[valid]
        found = found.astype(np.float64)
        finite = np.isfinite(found).all(axis=tuple(range(1, found.ndim)), keepdims=True)
        if not finite.all():
            self.not_finite.add(part)
        self._error[part] += np.square(np.where(finite, found, 0) - reference).sum()
        self._reference[part] += np.square(reference).sum()

    def relative_rms(self, part: str) -> float:
        return float(np.sqrt(self._error[part] / (self._reference[part] or 1.0)))


def _tolerance(part: str, precision: str) -> float:
    return _TOLERANCES["fp32" if precision == "int8" and not _QUANTISED.fullmatch(part) else precision]
