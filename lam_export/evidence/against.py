"""What a bundle can be held against, by the names that users give."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import MANIFEST
from lam_engines.errors import LamError
from lam_engines.runtimes.openvino.engine import library

from .entrants import Entrant, other_bundle, pytorch_entrant, transformer_entrant
from .transformer import Transformer, export_transformer, read_transformer

_RUNTIMES = {
    "minilm-onnx": "onnxruntime",
    "minilm-openvino": "openvino",
    "sentence-transformers": "sentence-transformers",
}
"""Those that run the transformer, by the runtime that does."""
NAMES = ("pytorch", "compile", *_RUNTIMES)
_TEACHER = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Against:
    """Where the rivals of a bundle are found."""

    bundle: Bundle
    threads: int
    checkpoint: Path | None = None
    teacher: Path | None = None
    transformer: Path | None = None
    """A BERT's folder; the demo's teacher if left out."""

    def check(self, names: Sequence[str]) -> None:
        """See that all that the names need is there, before the minutes that the first takes.

        Raises:
            LamError: a name is none of :data:`NAMES` and no bundle, or something is missing.
        """
        for name in names:
            if name in ("pytorch", "compile"):
                if self.checkpoint is None:
                    raise LamError(f"--against {name} needs the checkpoint; name it: --checkpoint CHECKPOINT")
            elif name in NAMES:
                self._transformer()
                package = "sentence_transformers" if name == "sentence-transformers" else "transformers"
                if find_spec(package) is None:
                    raise LamError(f"{package} not installed here; run: pip install sentence-transformers")
                if name == "minilm-openvino":
                    library()
            elif not (Path(name) / MANIFEST).exists():
                raise LamError(
                    f"expected --against {', '.join(NAMES)} or a bundle's folder, found {name!r}, which is neither"
                )

    def entrant(self, name: str, scratch: Path) -> Entrant:
        """What a name stands for; :meth:`check` it first.

        Args:
            name: one of :data:`NAMES`, or a bundle's folder.
            scratch: a folder for files that are needed while it is timed.

        Raises:
            LamError: it cannot be read.
        """
        if name in ("pytorch", "compile"):
            return self._pytorch(compiled=name == "compile")
        if name not in NAMES:
            return other_bundle(self.bundle, Path(name), threads=self.threads)
        transformer = self._transformer()
        graph = scratch / "transformer.onnx"
        if name != "sentence-transformers" and not graph.exists():
            export_transformer(transformer, graph)
        return transformer_entrant(self.bundle, transformer, _RUNTIMES[name], graph, threads=self.threads)

    def reference(self) -> Entrant | None:
        """The checkpoint in PyTorch, float32; None without one.

        Raises:
            LamError: the checkpoint cannot be read, or is of another model than the bundle.
        """
        return None if self.checkpoint is None else self._pytorch(compiled=False)

    def _pytorch(self, *, compiled: bool) -> Entrant:
        from lam_export.model.checkpoint import load_checkpoint

        from .references import encoder_of

        if self.checkpoint is None:
            raise LamError("PyTorch needs the checkpoint; name it: --checkpoint CHECKPOINT")
        loaded = load_checkpoint(self.checkpoint, self.teacher)
        encoder_of(self.bundle, loaded)
        return pytorch_entrant(
            self.bundle, self.checkpoint, self.teacher, loaded.sha256, compiled=compiled, threads=self.threads
        )

    def _transformer(self) -> Transformer:
        if self.transformer is not None:
            return read_transformer(self.transformer)
        from lam_export.demo import DemoError, teacher_folder

        try:
            return read_transformer(teacher_folder(), _TEACHER)
        except DemoError:
            raise LamError(
                "expected a transformer to compare with, found none; name its folder: --transformer FOLDER, or run: "
                "pip install 'lam-export[demo]'"
            ) from None
