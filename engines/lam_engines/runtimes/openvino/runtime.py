"""OpenVINO's entry in the registry."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...contract import ATTENTION_MASK, INPUT_IDS, SENTENCE_EMBEDDING
from ...errors import BundleError
from ..portable import Portable
from ..registry import Runtime

if TYPE_CHECKING:
    import numpy as np

    from ...bundles.bundle import Bundle
    from ...embedding.engine import EmbeddingEngine


class OpenVino(Runtime):
    """Runs a bundle's fp32 graph on a CPU, in float32 or bfloat16."""

    name = "openvino"
    title = "OpenVINO"
    precisions = ("fp32", "bf16")
    devices = ("cpu",)

    def version(self) -> str:
        from .library import library, version_of

        return version_of(library())

    def precisions_of(self, bundle: "Bundle") -> tuple[str, ...]:
        from .operators import graph_of

        return self.precisions if graph_of(bundle) in bundle.manifest.files else ()

    def file_of(self, bundle: "Bundle", precision: str) -> str:
        from shlex import quote

        from .library import check_bf16
        from .operators import graph_of

        if precision == "bf16":
            check_bf16()
        graph = graph_of(bundle)
        if graph not in bundle.manifest.files:  # without the operator, OpenVINO needs a graph without local functions
            raise BundleError(
                f"expected {graph} in the bundle {bundle.path}, found none; make it again: lam-export onnx CHECKPOINT "
                f"-o {quote(str(bundle.path))} --inline --force"
            )
        return graph

    def variant(self, bundle: "Bundle") -> str:
        from .operators import find_operators

        return "" if find_operators(bundle).path is None else "native operator"

    def speed(self, bundle: "Bundle") -> tuple[int, str]:
        from .operators import find_operators

        found = find_operators(bundle)
        return (2, "") if found.path is not None else (0, found.why)

    def fingerprint(self, bundle: "Bundle", precision: str, device: str) -> tuple[str, ...]:
        from .operators import operators_sha256

        return (*super().fingerprint(bundle, precision, device), operators_sha256(bundle))

    def portable(self, bundle: "Bundle", precision: str) -> Portable | None:
        from .library import library, version_of
        from .network import OPERATORS_FILE
        from .operators import find_operators

        own = (f"runtimes/openvino/{name}.py" for name in ("network", "library", "requests"))
        modules = (*own, "contract.py", "errors.py", "machine.py")
        file, operators = self.file_of(bundle, precision), find_operators(bundle).path
        if operators is None:
            return Portable(file, modules, {self.name: ""})
        # The operators run in the OpenVINO that they were built with alone.
        packages, files = {self.name: version_of(library())}, {OPERATORS_FILE: operators.read_bytes()}
        return Portable(file, modules, packages, files)

    def run_graph(
        self, graph: Path, threads: int | None, precision: str = "fp32"
    ) -> "Callable[[np.ndarray, np.ndarray], np.ndarray]":
        from .library import check_bf16, compile_options, core

        if precision == "bf16":
            check_bf16()
        compiled = core().compile_model(str(graph), "CPU", compile_options(threads, precision))

        def infer(input_ids: "np.ndarray", attention_mask: "np.ndarray") -> "np.ndarray":
            return compiled({INPUT_IDS: input_ids, ATTENTION_MASK: attention_mask})[SENTENCE_EMBEDDING]

        return infer

    def open(self, bundle: "Bundle", precision: str, device: str, threads: int | None) -> "EmbeddingEngine":
        from .engine import OpenVinoEngine

        return OpenVinoEngine(bundle, precision=precision, threads=threads)


RUNTIME = OpenVino()
