"""The flat form's operator with its wide boundary; see README.md in this folder."""

OP_DOMAIN = "com.lam"

PLUGIN_NAMESPACE = "lam"
"""The TensorRT plugin's, which cannot be :data:`OP_DOMAIN`: TensorRT refuses a dot in it."""


def op_type(chunk_size: int) -> str:
    """The ONNX op type, which is also the TensorRT plugin's name: the chunk size is part of it.

    TensorRT's Python plugins cannot take scalar attributes with numpy 2 before 11.4, and a node's op type must equal
    the plugin's name.
    """
    return f"FusedDeltaRule_c{chunk_size}"
