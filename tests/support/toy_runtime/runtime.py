"""What the toy declares of itself."""

from typing import TYPE_CHECKING

from ...contract import MODEL
from ..registry import Runtime

if TYPE_CHECKING:
    from ...bundles.bundle import Bundle
    from ...embedding.engine import EmbeddingEngine


class Toy(Runtime):
    """A bundle's float32 graph, without a single optimisation."""

    name = "toy"
    title = "Toy"
    precisions = ("fp32",)
    devices = ("cpu",)

    def version(self) -> str:
        return "7.7.7"

    def precisions_of(self, bundle: "Bundle") -> tuple[str, ...]:
        return self.precisions if MODEL in bundle.manifest.files else ()

    def file_of(self, bundle: "Bundle", precision: str) -> str:
        return bundle.graph(precision)

    def open(self, bundle: "Bundle", precision: str, device: str, threads: int | None) -> "EmbeddingEngine":
        from .engine import ToyEngine

        return ToyEngine(bundle, self.file_of(bundle, precision), threads)


RUNTIME = Toy()
