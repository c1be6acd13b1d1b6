"""Say which extra is missing before a work needs it."""

from importlib.util import find_spec

from lam_engines.errors import LamError


def require(*modules: str, extra: str) -> None:
    """Raise one clear line if a module is not installed.

    Raises:
        LamError: names the module and the command that installs it.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise LamError(f"{', '.join(missing)} not installed here; run: pip install 'lam-export[{extra}]'")


def require_export() -> None:
    """What exporting and comparing need: PyTorch, the ONNX tools, Polygraphy and ONNX Runtime."""
    require("torch", "safetensors", "onnx", "onnx_ir", "onnxscript", "polygraphy", "onnxruntime", extra="export,cpu")
