"""The two libraries that build and run plans, TensorRT and TensorRT for RTX. Their Python interfaces are alike."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ...errors import EngineError, installing
from . import cuda


@dataclass(frozen=True)
class Library:
    """One of the two libraries."""

    name: str
    """The runtime's name, which a plan's entry in the manifest has too."""
    title: str
    short: str
    """Its name in the names of files."""
    package: str
    """Its Python package."""
    extra: str
    """The extra of lam-export that installs it."""
    build_option: str = ""
    """What chooses it in a command ``lam-export trt``."""
    is_rtx: bool = False
    """Whether it is TensorRT for RTX: plans for several kinds of GPUs, whose kernels are compiled where they run."""

    def module(self) -> Any:
        """The Python package.

        Raises:
            EngineError: it is not installed, or does not load.
        """
        install = f"run: {installing(self.extra)}"
        try:
            return import_module(self.package)
        except ImportError:
            raise EngineError(f"{self.title} is not installed; {install}") from None
        except OSError as error:  # a library inside the package
            raise EngineError(f"{self.title} does not load ({one_line(error)}); {install}") from None

    def version(self) -> str:
        """The full version, such as 10.9.0.34.

        Raises:
            EngineError: as for :meth:`module`.
        """
        return str(self.module().__version__)

    def compute_capabilities(self) -> tuple[str, ...]:
        """The compute capabilities that TensorRT for RTX has names for, such as 8.6.

        Raises:
            EngineError: as for :meth:`module`.
        """
        names = self.module().ComputeCapability.__members__
        return tuple(f"{name[2:-1]}.{name[-1]}" for name in names if name.startswith("SM"))

    def binding(self) -> "PlanBinding":
        """What a plan must be built for to run here.

        Raises:
            EngineError: the library or a GPU is missing, or the library runs on no such GPU.
        """
        version = self.version()
        found = cuda.compute_capability(self.name, self.extra)
        if self.is_rtx and found not in self.compute_capabilities():
            raise EngineError(
                f"expected a GPU of compute capability {', '.join(self.compute_capabilities())} for {self.title} "
                f"{version}, found one of {found}; use another engine, such as tensorrt"
            )
        return PlanBinding(self, version, found)


@dataclass(frozen=True)
class PlanBinding:
    """The library, its version and the GPU generation that a plan is bound to."""

    library: Library
    version: str
    """Full version, such as 10.9.0.34. A library loads a plan only in the exact version that built it."""
    compute_capability: str | None
    """The GPU's compute capability, such as 9.0; None leaves it to the library to refuse a plan."""


TENSORRT = Library("tensorrt", "TensorRT", "trt", "tensorrt", "tensorrt")
RTX = Library(
    "tensorrt-rtx",
    "TensorRT for RTX",
    "rtx",
    "tensorrt_rtx",
    "rtx",
    build_option=" --rtx",
    is_rtx=True,
)


def one_line(said: object) -> str:
    """A library's message on one line."""
    return " ".join(str(said).split())
