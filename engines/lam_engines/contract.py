"""Names that several packages use, each defined once: tensors, files of a bundle, precisions, variables."""

from typing import Literal

INPUT_IDS, ATTENTION_MASK = "input_ids", "attention_mask"
INPUTS = (INPUT_IDS, ATTENTION_MASK)
"""Inputs of every encoder's graph and plan: int64 ``[batch, tokens]``, padding on the right."""
WINDOW = "window"
"""Optional input of graphs of the flat form, int64 ``[4]``. The graph holds its default value."""
SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS = "sentence_embedding", "token_embeddings"
"""Outputs: float32 ``[batch, hidden]`` of unit length, and ``[batch, tokens, hidden]``."""
TEXT, TOKEN_COUNT, TRUNCATED = "text", "token_count", "truncated"
"""Tensors of an encoder in Triton: its input, and two outputs beside ``sentence_embedding``. They are BYTES, INT32 and
BOOL, each ``[batch, 1]``."""
ENSEMBLE = "lam_embed"
"""Triton's name of an encoder, from text to embedding."""

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
"""Graph of the recurrent form with its states as inputs and outputs, for texts that come in windows."""
MEMORY_MODEL = "memory.onnx"
GRAPHS = {"fp32": MODEL, "fp16": FP16_MODEL, "int8": INT8_MODEL}
"""Each precision to its graph in a bundle."""
PLAN_PRECISIONS = ("fp16", "fp32")
"""Precisions of TensorRT plans, the default first."""
TOKENIZER = "tokenizer.json"
PLANS = "engines"
"""Folder of TensorRT plans and of the files that their builds wrote."""
REPORTS = "reports"
"""Folder of evidence: reports, and the history of changes. No engine reads it, and no hash covers it."""

Precision = Literal["fp32", "fp16", "bf16", "int8"]

CACHE_VARIABLE = "LAM_EXPORT_CACHE"
"""Names the folder of the caches; see :func:`lam_engines.machine.cache_folder`."""
OPERATORS_VARIABLE = "LAM_OPERATORS"
"""Names the library of native operators for OpenVINO."""
