"""TensorRT's entry in the registry."""

from typing import TYPE_CHECKING, ClassVar

from ...contract import PLAN_PRECISIONS
from ..registry import Runtime

if TYPE_CHECKING:
    from ...bundles.bundle import Bundle
    from ...embedding.engine import EmbeddingEngine
    from .library import Library


class TensorRt(Runtime):
    """Runs a bundle's plans, on the GPU model and with the TensorRT version that built them."""

    name: ClassVar[str] = "tensorrt"
    title: ClassVar[str] = "TensorRT"
    precisions = PLAN_PRECISIONS
    devices = ("cuda",)
    takes_threads = False

    @property
    def library(self) -> "Library":
        """The library that runs the plans."""
        from .library import TENSORRT

        return TENSORRT

    def version(self) -> str:
        return self.library.version()

    def here(self, device: str) -> str:
        here = self.library.binding()
        return f"{self.name} {here.version}, compute capability {here.compute_capability}"

    def precisions_of(self, bundle: "Bundle") -> tuple[str, ...]:
        from .plans import plans_of

        found = {plan.precision for plan in plans_of(bundle, self.library).values()}
        return tuple(precision for precision in self.precisions if precision in found)

    def file_of(self, bundle: "Bundle", precision: str) -> str:
        from .plans import choose_plan

        return choose_plan(bundle, precision, self.library.binding())

    def open(self, bundle: "Bundle", precision: str, device: str, threads: int | None) -> "EmbeddingEngine":
        from .engine import TensorRtEngine

        return TensorRtEngine(bundle, self.library, precision=precision)


RUNTIME = TensorRt()
