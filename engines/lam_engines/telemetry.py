"""The switch that keeps ONNX Runtime from sending reports of use."""

import os


def disable_telemetry() -> None:
    """Call this before onnxruntime is imported: version 1.29 and newer send reports of use to Microsoft."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
