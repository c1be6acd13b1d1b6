"""The package ``tensorrt``, and what plans must be built for to run here."""

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
    """What plans must be built for to run on this machine.

    Raises:
        EngineError: TensorRT or a GPU is not there.
    """
    version = str(library().__version__)
    return PlanBinding(version, cuda.compute_capability())


def one_line(said: object) -> str:
    """What a library said, without line ends."""
    return " ".join(str(said).split())
