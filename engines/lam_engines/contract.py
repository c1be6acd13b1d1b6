"""Names that several packages use: tensors, files of a bundle, precisions and environment variables."""

from typing import Literal

INPUT_IDS, ATTENTION_MASK = "input_ids", "attention_mask"
INPUTS = (INPUT_IDS, ATTENTION_MASK)
"""Inputs of every encoder's graph and plan. Both are int64 ``[batch, tokens]``, with padding on the right."""
WINDOW = "window"
"""Constant of graphs of the flat form, int64 ``[4]``, zeros for whole texts. The engine makes it an input when it loads
such a graph, to give long texts in windows."""
SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS = "sentence_embedding", "token_embeddings"
"""Outputs. Both are float32: ``[batch, hidden]`` of unit length, and ``[batch, tokens, hidden]``."""
LAST_HIDDEN_STATE = "last_hidden_state"
"""What other people's tools call the tokens' embeddings."""
TEXT, TOKEN_COUNT, TRUNCATED = "text", "token_count", "truncated"
"""Tensors of an encoder in Triton: its input, and its outputs besides ``sentence_embedding``. They are BYTES, INT32 and
BOOL, each ``[batch, 1]``."""
ENSEMBLE = "lam_embed"
"""Name of the Triton model from text to embedding."""

MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"
"""Lists the hash of every file of a bundle, manifest included. ``sha256sum -c`` checks it."""
NEXT_MANIFEST = "manifest.next.json"
"""The manifest while a bundle is being extended, or after a kill in that moment. ``SHA256SUMS`` then lists it, and not
``manifest.json``."""
MODEL = "model.onnx"
INLINED_MODEL = "model.inlined.onnx"
FP16_MODEL = "model.fp16.onnx"
INT8_MODEL = "model.int8.onnx"
STREAM_MODEL = "model.stream.onnx"
"""Graph of the recurrent form with its states as inputs and outputs, for texts that come in windows."""
MEMORY_MODEL = "memory.onnx"
GRAPHS = {"fp32": MODEL, "fp16": FP16_MODEL, "int8": INT8_MODEL}
"""The graph of each precision in a bundle."""
PLAN_PRECISIONS = ("fp16", "fp32")
"""Precisions of TensorRT plans, the default first."""
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
"""What other people's tools read beside ``tokenizer.json``. No engine of ours does."""
PLANS = "engines"
"""Folder of TensorRT plans and of the other files that their builds write."""
REPORTS = "reports"
"""Folder of reports and of the history of changes. No engine reads it, and no hash covers it."""

Precision = Literal["fp32", "fp16", "bf16", "int8"]

OnError = Literal["fail", "skip", "empty"]
"""What to do with a row of a file whose text cannot be read: stop, leave it out, or embed the empty text."""

MOST_THREADS = 1024
"""Threads of an engine: more than any machine has cores."""
OPENAI_BATCH = "openai-batch"
"""Users' name of OpenAI's Batch format: requests in, answers out."""
MAX_TEXT_BYTES = 64 << 20
"""Largest text of a file in UTF-8, unless the user names another size."""

CACHE_VARIABLE = "LAM_EXPORT_CACHE"
"""Names the folder of the caches; see :func:`lam_engines.machine.cache_folder`."""
OPERATORS_VARIABLE = "LAM_OPERATORS"
"""Names the library of native operators for OpenVINO; set to nothing: none, whatever is installed."""
