"""``lam-export validate``: compare a bundle with its checkpoint, and find the parts that must stay in float32."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lam_engines.bundles.bundle import Bundle
from lam_engines.progress import Progress
from lam_engines.runtimes import registry
from lam_export.requirements import require_export

from .inputs import open_bundle, read_checkpoint

if TYPE_CHECKING:
    from lam_export.evidence.metrics import EmbeddingDiff, Thresholds
    from lam_export.model.checkpoint import Checkpoint
    from lam_export.validate.bisect import PrecisionSearch
    from lam_export.validate.parity import ParityReport


@dataclass(frozen=True)
class Bisection:
    """The parts that must stay in float32, and the result with them in ONNX Runtime."""

    search: "PrecisionSearch"
    confirmed: "EmbeddingDiff | None"
    """The worst row in ONNX Runtime with those parts in float32; None if no part need stay, or if nothing helps."""


@dataclass(frozen=True)
class Validation:
    """What :func:`validate_bundle` found."""

    parity: "ParityReport"
    weights: Path
    """The checkpoint's file."""
    checkpoint_sha256: str
    made_from_sha256: str
    """The hash of the checkpoint that the bundle was made from, as its manifest states."""
    bisection: Bisection | None
    """None if it was not asked for."""

    @property
    def passed(self) -> bool:
        """Whether every text of every case is within the thresholds."""
        return self.parity.passed

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values, without the bisection."""
        sources = {"checkpoint_sha256": self.checkpoint_sha256, "bundle_made_from_sha256": self.made_from_sha256}
        return {**self.parity.to_dict(), **sources}


def validate_bundle(
    bundle: Bundle | Path | str,
    checkpoint: "Checkpoint | Path | str",
    *,
    teacher: Path | str | None = None,
    max_abs: float | None = None,
    cosine: float | None = None,
    engine: str = registry.REFERENCE,
    precision: str | None = None,
    bisect: bool = False,
    verbose: bool = False,
    progress: Progress = Progress(),
) -> Validation:
    """Compare every graph of a bundle with the PyTorch reference in float64: awkward lengths, padded batches.

    Example:
        ```python
        found = lam_export.validate_bundle("my-model", "my-checkpoint")
        found.passed, found.parity.worst()
        ```

    Args:
        bundle: an open bundle, or its folder.
        checkpoint: the checkpoint that the bundle was made from: its folder or weights file, or what
            ``load_checkpoint`` read.
        teacher: the checkpoint's teacher (a BERT); needed only if the checkpoint lacks weights or the tokenizer.
        max_abs: largest allowed difference of any element; if left out, the precision's own.
        cosine: smallest allowed cosine of any text; if left out, the precision's own.
        engine: the engine that runs the bundle.
        precision: precision to compare; if left out, all graphs in ONNX Runtime, or another engine's default.
        bisect: also find the fewest parts that must stay in float32 so that fp16 keeps within the thresholds.
        verbose: show Polygraphy's own messages.
        progress: told of the steps.

    Raises:
        LamError: a package is missing, or this version does not know the bundle's form.
        CheckpointError: there is no checkpoint, or it is broken.
        BundleError: there is no bundle, a file of it was altered, it was made from another model than the checkpoint,
            or it lacks that precision.
        EngineError: there is no such engine, or it cannot run here.
    """
    progress.begin("reading the bundle and the checkpoint", None)
    require_export()
    from lam_export.evidence.metrics import THRESHOLDS, Thresholds
    from lam_export.evidence.same_model import encoder_of
    from lam_export.validate.parity import check_parity

    candidate, source = open_bundle(bundle), read_checkpoint(checkpoint, teacher)
    thresholds = {
        name: Thresholds(own.max_abs if max_abs is None else max_abs, own.cosine if cosine is None else cosine)
        for name, own in THRESHOLDS.items()
    }
    parity = check_parity(
        candidate,
        encoder_of(candidate, source),
        engine=engine,
        precision=precision,
        thresholds=thresholds,
        progress=progress,
        verbose=verbose,
    )
    bisection = _bisection(candidate, source, thresholds["fp16"], progress) if bisect else None
    made_from = candidate.manifest.checkpoint.sha256
    return Validation(parity, source.weights, source.sha256, made_from, bisection)


def _bisection(bundle: Bundle, checkpoint: "Checkpoint", thresholds: "Thresholds", progress: Progress) -> Bisection:
    from lam_engines.embedding.tokenizer import tokenizer_of
    from lam_export.evidence.cases import parity_cases
    from lam_export.evidence.same_model import encoder_of
    from lam_export.validate.bisect import in_onnxruntime, precision_search

    encoder = encoder_of(bundle, checkpoint)
    cases = parity_cases(tokenizer_of(bundle), bundle.manifest.model.pad_token_id)
    search = precision_search(encoder, cases, thresholds, progress)
    if not search.keep:
        return Bisection(search, None)
    progress.begin("exporting the proposal and running it in ONNX Runtime", None)
    return Bisection(search, in_onnxruntime(encoder, search.keep, cases, thresholds))
