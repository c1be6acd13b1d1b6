"""ONNX Runtime's entry in the registry."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ...contract import ATTENTION_MASK, GRAPHS, INPUT_IDS, SENTENCE_EMBEDDING
from ...errors import EngineError, installing
from ..portable import Portable
from ..registry import Runtime

if TYPE_CHECKING:
    import numpy as np

    from ...bundles.bundle import Bundle
    from ...embedding.engine import EmbeddingEngine

_PACKAGES = ("onnxruntime", "onnxruntime-gpu")


class OnnxRuntime(Runtime):
    """Runs every graph of a bundle, on any machine."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    precisions = tuple(GRAPHS)
    devices = ("cpu", "cuda")
    shows_inner_values = True

    def version(self) -> str:
        return self._package()[1]

    def here(self, device: str) -> str:
        from .session import provider_of

        package, found = self._package()
        provider_of(device)
        return f"{package} {found}" + (" is built for CUDA; to see it run, name a bundle" if device == "cuda" else "")

    def precisions_of(self, bundle: "Bundle") -> tuple[str, ...]:
        return tuple(precision for precision, graph in GRAPHS.items() if graph in bundle.manifest.files)

    def file_of(self, bundle: "Bundle", precision: str) -> str:
        return bundle.graph(precision)

    def open(self, bundle: "Bundle", precision: str, device: str, threads: int | None) -> "EmbeddingEngine":
        from .engine import OnnxRuntimeEngine

        return OnnxRuntimeEngine(bundle, precision=precision, device=device, threads=threads)

    def portable(self, bundle: "Bundle", precision: str) -> Portable | None:
        modules = ("runtimes/onnxruntime/network.py", "contract.py", "machine.py", "telemetry.py")
        return Portable(self.file_of(bundle, precision), modules, {self.name: ""})

    def run_graph(
        self, graph: Path, threads: int | None, precision: str = "fp32"
    ) -> "Callable[[np.ndarray, np.ndarray], np.ndarray]":
        import onnxruntime

        from .session import session_options

        session = onnxruntime.InferenceSession(str(graph), session_options(threads), providers=["CPUExecutionProvider"])

        def infer(input_ids: "np.ndarray", attention_mask: "np.ndarray") -> "np.ndarray":
            return session.run([SENTENCE_EMBEDDING], {INPUT_IDS: input_ids, ATTENTION_MASK: attention_mask})[0]

        return infer

    def speed(self, bundle: "Bundle") -> tuple[int, str]:
        return 1, ""

    def _package(self) -> tuple[str, str]:
        """Which of ONNX Runtime's two packages is installed, and its version."""
        found = [(name, v) for name in _PACKAGES if (v := _version(name)) is not None]
        if len(found) > 1:
            raise EngineError(
                f"both {' and '.join(_PACKAGES)} are installed and overwrite each other; run: pip uninstall "
                f"{' '.join(_PACKAGES)}, then {installing('cpu')} or {installing('gpu')}"
            )
        if not found:
            raise EngineError(
                f"ONNX Runtime is not installed; run: {installing('cpu')} (for CUDA: gpu in the place of cpu)"
            )
        return found[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


RUNTIME = OnnxRuntime()
