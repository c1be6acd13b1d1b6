"""ONNX Runtime: the default engine, on any machine."""
