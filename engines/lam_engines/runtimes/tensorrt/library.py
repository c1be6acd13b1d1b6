"""The package ``tensorrt``, and the binding that a plan needs to run here."""

from typing import Any

from ...errors import EngineError
from . import cuda
from .plans import PlanBinding


def library() -> Any:
    """The package ``tensorrt``.

    Raises:
        EngineError: it is not installed, or does not load.
    """
    try:
        import tensorrt
    except ImportError:
        raise EngineError("TensorRT is not installed; run: pip install 'lam-export[tensorrt]'") from None
    except OSError as error:  # a library inside the package
        raise EngineError(
            f"TensorRT does not load ({one_line(error)}); run: pip install 'lam-export[tensorrt]'"
        ) from None
    return tensorrt


def plan_binding() -> PlanBinding:
    """The TensorRT version and the compute capability that a plan must be built for to run here.

    Raises:
        EngineError: TensorRT or a GPU is missing.
    """
    version = str(library().__version__)
    return PlanBinding(version, cuda.compute_capability())


def one_line(said: object) -> str:
    """A library's message on one line."""
    return " ".join(str(said).split())
