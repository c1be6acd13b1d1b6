"""Turn a trained LAM checkpoint into verified production artefacts.

What a command does, a function of this package does: ``lam_export.export_onnx("my-checkpoint", "my-model")``. Each is
imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .pipelines.bench_bundle import bench_bundle
    from .pipelines.build_plan import build_plan
    from .pipelines.build_site import build_site
    from .pipelines.compile_kernels import compile_kernels
    from .pipelines.export_huggingface import export_huggingface
    from .pipelines.export_memory import export_memory
    from .pipelines.export_onnx import export_onnx
    from .pipelines.gate import gate
    from .pipelines.inspect_bundle import inspect_bundle
    from .pipelines.inspect_checkpoint import inspect_checkpoint
    from .pipelines.profile import profile
    from .pipelines.report import report
    from .pipelines.validate_bundle import validate_bundle
    from .pipelines.write_demo import write_demo
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".pipelines.{name}", __name__), name)

    def __dir__() -> list[str]:
        return sorted(__all__)


__all__ = [
    "__version__",
    "bench_bundle",
    "build_plan",
    "build_site",
    "compile_kernels",
    "export_huggingface",
    "export_memory",
    "export_onnx",
    "gate",
    "inspect_bundle",
    "inspect_checkpoint",
    "profile",
    "report",
    "validate_bundle",
    "write_demo",
]
