"""Names that are used across packages, each defined once: tensors, files of a bundle, precisions, variables."""

from typing import Literal

INPUT_IDS, ATTENTION_MASK = "input_ids", "attention_mask"
INPUTS = (INPUT_IDS, ATTENTION_MASK)
"""Inputs of every encoder's graph and plan: int64 ``[batch, tokens]``, padding on the right."""
WINDOW = "window"
"""An input of graphs of the flat form with a value of its own, so that nobody needs to give it: int64 ``[4]``."""
SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS = "sentence_embedding", "token_embeddings"
"""Outputs: float32 ``[batch, hidden]`` of unit length, and ``[batch, tokens, hidden]``."""

MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"
"""The hash of every file of a bundle, the manifest included; ``sha256sum -c`` checks it."""
NEXT_MANIFEST = "manifest.next.json"
"""The manifest while a bundle is extended, and after a kill just then: ``SHA256SUMS`` lists it in the other's place."""
MODEL = "model.onnx"
INLINED_MODEL = "model.inlined.onnx"
FP16_MODEL = "model.fp16.onnx"
INT8_MODEL = "model.int8.onnx"
STREAM_MODEL = "model.stream.onnx"
"""The recurrent form with its states as inputs and outputs, for texts that come in windows."""
MEMORY_MODEL = "memory.onnx"
GRAPHS = {"fp32": MODEL, "fp16": FP16_MODEL, "int8": INT8_MODEL}
"""Precision to the graph of a bundle."""
PLAN_PRECISIONS = ("fp16", "fp32")
"""What TensorRT plans are built in, the default first."""
TOKENIZER = "tokenizer.json"
PLANS = "engines"
"""A folder of TensorRT plans, with what their builds left behind."""
REPORTS = "reports"
"""A folder of evidence: reports, and the history of changes. No engine reads it, and no hash guards it."""

Precision = Literal["fp32", "fp16", "bf16", "int8"]

CACHE_VARIABLE = "LAM_EXPORT_CACHE"
"""Names the folder of the caches; see :func:`lam_engines.machine.cache_folder`."""
OPERATORS_VARIABLE = "LAM_OPERATORS"
"""Names the library of native operators for OpenVINO."""
