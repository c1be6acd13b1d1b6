"""ONNX Runtime: runs every graph on any machine."""
