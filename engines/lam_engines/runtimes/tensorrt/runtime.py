"""TensorRT's entry in the registry."""

from typing import TYPE_CHECKING

from ...contract import PLAN_PRECISIONS
from ..registry import Runtime

if TYPE_CHECKING:
    from ...bundles.bundle import Bundle
    from ...embedding.engine import EmbeddingEngine


class TensorRt(Runtime):
    """Runs a bundle's plans, on the GPU model and with the TensorRT version that built them."""

    name = "tensorrt"
    title = "TensorRT"
    precisions = PLAN_PRECISIONS
    devices = ("cuda",)
    takes_threads = False

    def version(self) -> str:
        from .library import library

        return str(library().__version__)

    def here(self, device: str) -> str:
        from .library import plan_binding

        here = plan_binding()
        return f"{self.name} {here.tensorrt}, compute capability {here.compute_capability}"

    def precisions_of(self, bundle: "Bundle") -> tuple[str, ...]:
        found = {plan.precision for plan in bundle.manifest.plans.values()}
        return tuple(precision for precision in self.precisions if precision in found)

    def file_of(self, bundle: "Bundle", precision: str) -> str:
        from .library import plan_binding
        from .plans import choose_plan

        return choose_plan(bundle, precision, plan_binding())

    def open(self, bundle: "Bundle", precision: str, device: str, threads: int | None) -> "EmbeddingEngine":
        from .engine import TensorRtEngine

        return TensorRtEngine(bundle, precision=precision)


RUNTIME = TensorRt()
