"""The TensorRT version and the GPU that a plan is built with."""

import re
from dataclasses import dataclass

from lam_engines.gpu import first_gpu
from lam_plugins.aot import TARGETS
from lam_plugins.fused_delta_rule.tensorrt import plugin_fault

from . import PlanError

OLDEST = (10, 0)
"""The first TensorRT version with opset 20 and int64 tensors."""


@dataclass(frozen=True)
class BuildEnvironment:
    """What a plan is bound to. Only this TensorRT version on this GPU model can load it."""

    tensorrt: str
    """The full version, such as 10.9.0.34."""
    gpu: str
    compute_capability: str
    """The GPU's compute capability, such as 9.0."""
    driver: str

    @property
    def target(self) -> str:
        """The GPU's name as a compile target, such as sm_90."""
        return f"sm_{self.compute_capability.replace('.', '')}"


def find_environment(*, plugin: bool) -> BuildEnvironment:
    """Find TensorRT and the GPU, and see that they can build a plan.

    Args:
        plugin: whether the fused operator runs as the kernel of ``lam_plugins``.

    Raises:
        PlanError: TensorRT is missing, too old, or cannot take the plugin; there is no GPU, or no kernel for it. The
            message says what to install or which option to use.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # OSError: the library inside the package does not load
        reason = " ".join(str(error).split())
        raise PlanError(f"TensorRT cannot be imported ({reason}); run: pip install 'lam-export[trt]'") from None
    version = str(tensorrt.__version__)
    check_version(version, plugin=plugin)
    gpu = first_gpu()
    environment = BuildEnvironment(version, gpu.name, gpu.compute_capability, gpu.driver)
    check_gpu(environment, plugin=plugin)
    return environment


def check_version(version: str, *, plugin: bool) -> None:
    """See that this TensorRT version can build a plan, with the plugin if requested.

    Raises:
        PlanError: it cannot. The message says what to do instead.
    """
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if found < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise PlanError(f"expected TensorRT {oldest} or newer, found {version}; run: pip install 'lam-export[trt]'")
    if plugin and (fault := plugin_fault(version)):
        raise PlanError(f"{fault}; run: pip install 'lam-export[trt]', or build without it: --no-plugin")


def check_gpu(environment: BuildEnvironment, *, plugin: bool) -> None:
    """See that the plugin, if requested, has a kernel for this GPU.

    Raises:
        PlanError: it has none.
    """
    if plugin and environment.target not in TARGETS:
        raise PlanError(
            f"expected a GPU of {', '.join(TARGETS)} for the plugin's kernel, found {environment.gpu} "
            f"({environment.target}); build without it: --no-plugin"
        )
