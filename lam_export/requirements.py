"""Look for optional packages before the work that needs them begins."""

from importlib.util import find_spec

from lam_engines.errors import LamError, installing


def require(*modules: str, extra: str) -> None:
    """See that modules are installed.

    Raises:
        LamError: names the missing modules and the command that installs them.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise LamError(f"{', '.join(missing)} not installed here; run: {installing(extra)}")


def require_export() -> None:
    """See that the modules for exporting and comparing are installed: PyTorch, ONNX tools, Polygraphy, ONNX Runtime.

    Raises:
        LamError: as for :func:`require`.
    """
    require("torch", "safetensors", "onnx", "onnx_ir", "onnxscript", "polygraphy", "onnxruntime", extra="export,cpu")
