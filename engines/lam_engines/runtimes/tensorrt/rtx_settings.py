"""Settings that only TensorRT for RTX has. They follow its documentation and have not run yet."""

from contextlib import suppress
from typing import Any

from ...bundles.whole import write_whole
from ...machine import cache_folder


class RtxSettings:
    """How TensorRT for RTX runs a plan.

    It compiles a plan's kernels for the GPU when they are first needed. The compiled kernels are kept in the folder of
    the caches, so that the next process need not compile them. For a new shape it starts with general kernels, and
    compiles special ones in the background. So it must record its CUDA graphs itself: a graph that was recorded from
    outside would keep the general kernels.
    """

    def __init__(self, trt: Any, engine: Any, plan_sha256: str) -> None:
        """Make the settings of an engine, and read the kernels that an earlier process compiled for its plan.

        Args:
            trt: the package ``tensorrt_rtx``.
            engine: its ``ICudaEngine``.
            plan_sha256: the hash of the plan.
        """
        self.config = engine.create_runtime_config()
        """The ``IRuntimeConfig`` that execution contexts are made with."""
        self.config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        self.config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.LAZY
        self.config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._place = cache_folder() / "tensorrt-rtx" / f"{plan_sha256[:16]}.cache"
        self._cache = self.config.create_runtime_cache()
        with suppress(OSError):  # there is none yet
            self._cache.deserialize(self._place.read_bytes())  # it refuses a cache of another version or GPU
        self.config.set_runtime_cache(self._cache)

    def keep_cache(self) -> None:
        """Write the compiled kernels for the next process. Without them it is only slower to begin."""
        with suppress(OSError):
            write_whole(self._place, bytes(self._cache.serialize()))
