"""The library that builds a plan, and the GPUs that it is built for."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lam_engines.errors import EngineError, installing
from lam_engines.gpu import first_gpu
from lam_engines.runtimes.tensorrt.library import RTX, TENSORRT, Library
from lam_plugins.aot import TARGETS
from lam_plugins.fused_delta_rule.tensorrt import plugin_fault

from . import PlanError

OLDEST = (10, 0)
"""The first TensorRT version with opset 20 and int64 tensors."""
_TURING = "7.5"
"""TensorRT for RTX 1.7.1 has no products in float32 for it ("FP32 GEMM is not supported"), and every graph has some."""


@dataclass(frozen=True)
class BuildEnvironment:
    """What a plan is bound to."""

    library: Library
    version: str
    """The library's full version, such as 10.9.0.34. Only this version can load the plan."""
    compute_capabilities: tuple[str, ...]
    """The compute capabilities of the plan's GPUs, such as 9.0."""
    gpu: str | None = None
    """The name of this machine's GPU, if the plan is for no other model."""
    driver: str | None = None

    @property
    def target(self) -> str:
        """The GPU's name as a compile target, such as sm_90; of several GPUs, such as sm_80_86_89."""
        return "_".join(["sm", *(capability.replace(".", "") for capability in self.compute_capabilities)])


def find_environment(*, plugin: bool) -> BuildEnvironment:
    """Find TensorRT and the GPU, and see that they can build a plan.

    Args:
        plugin: whether the fused operator runs as the kernel of ``lam_plugins``.

    Raises:
        PlanError: TensorRT is missing, too old, or cannot take the plugin; there is no GPU, or no kernel for it. The
            message says what to install or which option to use.
    """
    version = str(_module(TENSORRT, "trt").__version__)
    check_version(version, plugin=plugin)
    gpu = first_gpu()
    environment = BuildEnvironment(TENSORRT, version, (gpu.compute_capability,), gpu.name, gpu.driver)
    check_gpu(environment, plugin=plugin)
    return environment


def find_rtx(gpus: Sequence[str]) -> BuildEnvironment:
    """Find TensorRT for RTX, which needs no GPU to build a plan.

    Args:
        gpus: compute capabilities to build for, such as 8.6; if empty, all that one plan can be for.

    Raises:
        PlanError: it is missing, or cannot build for these GPUs. The message says for which it can.
    """
    rtx = _module(RTX, RTX.extra)
    able = [gpu for gpu in RTX.compute_capabilities() if gpu != _TURING]
    chosen = tuple(dict.fromkeys(gpus)) or tuple(able)
    if unknown := [gpu for gpu in chosen if gpu not in able]:
        turing = (
            f"; {RTX.title} has no float32 products for {_TURING}, use TensorRT there" if _TURING in unknown else ""
        )
        raise PlanError(f"expected --gpu of {', '.join(able)}, found {', '.join(unknown)}{turing}")
    return BuildEnvironment(RTX, str(rtx.__version__), chosen)


def check_version(version: str, *, plugin: bool) -> None:
    """See that this TensorRT version can build a plan, with the plugin if requested.

    Raises:
        PlanError: it cannot. The message says what to do instead.
    """
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if found < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise PlanError(f"expected TensorRT {oldest} or newer, found {version}; run: {installing('trt')}")
    if plugin and (fault := plugin_fault(version)):
        raise PlanError(f"{fault}; run: {installing('trt')}, or build without it: --no-plugin")


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


def _module(library: Library, extra: str) -> Any:
    try:
        return library.module()
    except EngineError as error:
        raise PlanError(f"{str(error).split('; run')[0]}; run: {installing(extra)}") from None
