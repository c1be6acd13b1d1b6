"""The reference encoder to ONNX files."""
