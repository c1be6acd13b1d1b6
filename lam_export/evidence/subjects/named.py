"""Subjects by the names that users type after ``--against``."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import MANIFEST
from lam_engines.errors import LamError, installing
from lam_engines.runtimes import registry
from lam_export.evidence.subject import Subject
from lam_export.evidence.transformer import Transformer, export_transformer, read_transformer
from lam_export.requirements import require

from .engines import other_bundle
from .pytorch import CheckpointFiles, pytorch_subject
from .transformers import sentence_transformers_subject, transformer_in_runtime

_IN_PYTORCH = {"pytorch": False, "compile": True}
"""Name to whether the checkpoint is compiled."""
_IN_RUNTIME = {
    "minilm-onnx": ("onnxruntime", "fp32"),
    "minilm-openvino": ("openvino", "fp32"),
    "minilm-openvino-bf16": ("openvino", "bf16"),
}
"""Name to the runtime that runs the transformer, and its precision."""
_SENTENCE_TRANSFORMERS = "sentence-transformers"
NAMES = (*_IN_PYTORCH, *_IN_RUNTIME, _SENTENCE_TRANSFORMERS)
_TEACHER = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class NamedSubjects:
    """Finds the subjects that a bundle may be compared with."""

    bundle: Bundle
    threads: int
    checkpoint: CheckpointFiles | None = None
    transformer: Path | None = None
    """A BERT's folder; by default the demo's teacher."""

    def check(self, names: Sequence[str]) -> None:
        """Check that everything that the names need is there, before measuring takes minutes.

        Raises:
            LamError: a name is neither in :data:`NAMES` nor a bundle, or something that it needs is missing.
        """
        if set(names) & set(NAMES):
            require("torch", "safetensors", extra="export")
        for name in names:
            if name in _IN_PYTORCH:
                if self.checkpoint is None:
                    raise LamError(f"--against {name} needs the checkpoint; name it: --checkpoint CHECKPOINT")
            elif name in NAMES:
                self._transformer()
                package = "transformers" if name in _IN_RUNTIME else "sentence_transformers"
                if find_spec(package) is None:
                    raise LamError(f"{package} not installed here; run: pip install sentence-transformers")
                if name in _IN_RUNTIME:
                    registry.runtime(_IN_RUNTIME[name][0]).version()
            elif not (Path(name) / MANIFEST).exists():
                raise LamError(
                    f"expected --against {', '.join(NAMES)} or a bundle's folder, found {name!r}, which is neither"
                )

    def subject(self, name: str, scratch: Path) -> Subject:
        """The subject of a name that passed :meth:`check`.

        Args:
            name: one of :data:`NAMES`, or a bundle's folder.
            scratch: a folder for files that are needed while the subject is measured.

        Raises:
            LamError: the subject cannot be read.
        """
        if name in _IN_PYTORCH:
            return self._pytorch(compiled=_IN_PYTORCH[name])
        if name not in NAMES:
            return other_bundle(self.bundle, Path(name), threads=self.threads)
        transformer = self._transformer()
        if name not in _IN_RUNTIME:
            return sentence_transformers_subject(self.bundle, transformer, threads=self.threads)
        graph = scratch / "transformer.onnx"
        if not graph.exists():
            export_transformer(transformer, graph)
        return transformer_in_runtime(self.bundle, transformer, *_IN_RUNTIME[name], graph, threads=self.threads)

    def reference(self) -> Subject | None:
        """The checkpoint in PyTorch, float32; None without one.

        Raises:
            LamError: the checkpoint cannot be read, or the bundle was made from another model.
        """
        return None if self.checkpoint is None else self._pytorch(compiled=False)

    def _pytorch(self, *, compiled: bool) -> Subject:
        if self.checkpoint is None:
            raise LamError("PyTorch needs the checkpoint; name it: --checkpoint CHECKPOINT")
        return pytorch_subject(self.bundle, self.checkpoint, compiled=compiled, threads=self.threads)

    def _transformer(self) -> Transformer:
        if self.transformer is not None:
            return read_transformer(self.transformer)
        from lam_export.demo import DemoError, teacher_folder

        try:
            return read_transformer(teacher_folder(), _TEACHER)
        except DemoError:
            raise LamError(
                "expected a transformer to compare with, found none; name its folder: --transformer FOLDER, or run: "
                f"{installing('demo')}"
            ) from None
