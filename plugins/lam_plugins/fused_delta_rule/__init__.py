"""The flat form's operator: all of a mixer between its projections. See README.md in this folder."""

OP_DOMAIN = "com.lam"

PLUGIN_NAMESPACE = "lam"
"""The TensorRT plugin's namespace. It differs from :data:`OP_DOMAIN`, because TensorRT allows no dot in it."""


def op_type(chunk_size: int) -> str:
    """The ONNX op type, which contains the chunk size. It must equal the TensorRT plugin's name.

    The chunk size cannot be an attribute: before TensorRT 11.4, Python plugins cannot take scalar attributes with
    numpy 2.
    """
    return f"FusedDeltaRule_c{chunk_size}"
