"""The checkpoint in PyTorch: the reference in float64 or float32, eager or compiled."""

import hashlib
import json
import platform
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import lam_export.model
import lam_plugins
from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import LamError
from lam_engines.machine import processor_name
from lam_export.evidence.metrics import THRESHOLDS
from lam_export.evidence.same_model import encoder_of
from lam_export.evidence.schema import SubjectInfo
from lam_export.evidence.subject import Subject
from lam_export.requirements import require

from .function_engine import FunctionEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from lam_export.model.checkpoint import Checkpoint

_PRECISIONS = {"float64": "fp64", "float32": "fp32"}


@dataclass(frozen=True)
class CheckpointFiles:
    """Paths of a checkpoint and, if it needs one, of its teacher."""

    path: Path
    teacher: Path | None = None

    def load(self) -> "Checkpoint":
        """Read it. Errors as of :func:`lam_export.model.checkpoint.load_checkpoint`."""
        require("torch", "safetensors", extra="export")
        from lam_export.model.checkpoint import load_checkpoint

        return load_checkpoint(self.path, self.teacher)


def pytorch_subject(
    bundle: Bundle,
    files: CheckpointFiles,
    *,
    dtype: str = "float32",
    compiled: bool = False,
    threads: int | None = None,
) -> Subject:
    """The checkpoint in PyTorch on the CPU, in the bundle's form.

    Args:
        bundle: an open bundle of the same model.
        files: the checkpoint.
        dtype: ``float64`` or ``float32``.
        compiled: whether to use ``torch.compile``. PyTorch decides when a new shape is compiled again.
        threads: number of CPU threads; by default PyTorch chooses.

    Raises:
        LamError: the checkpoint cannot be read or is of another model than the bundle, or the dtype is unknown.
    """
    require("torch", "safetensors", extra="export")
    from lam_export.model.checkpoint import parts_of

    if dtype not in _PRECISIONS:
        raise LamError(f"expected the reference in {' or '.join(_PRECISIONS)}, found {dtype!r}")
    checkpoint = files.load()
    encoder_of(bundle, checkpoint)
    info = SubjectInfo(
        name="torch.compile" if compiled else f"PyTorch {dtype}",
        model="this",
        precision=_PRECISIONS[dtype],  # type: ignore[arg-type]
        runtime=f"torch {version('torch')}",
        artefact=checkpoint.weights.name,
        sha256=checkpoint.sha256,
        bytes=sum(part.stat().st_size for part in parts_of(checkpoint.weights)),
    )
    load = partial(_load, bundle.path, files, dtype=dtype, compiled=compiled, threads=threads)
    return Subject(info, load, partial(_fingerprint, bundle, checkpoint, info, compiled), THRESHOLDS["fp32"])


def _load(bundle: Path, files: CheckpointFiles, *, dtype: str, compiled: bool, threads: int | None) -> FunctionEngine:
    import torch

    from lam_plugins.fused_delta_rule import naive

    if threads is not None:
        torch.set_num_threads(threads)
    opened, checkpoint = Bundle(bundle), files.load()
    model: Any = encoder_of(opened, checkpoint).to(getattr(torch, dtype))
    if compiled:
        torch._inductor.config.compile_threads = 1  # more than one would start processes that outlive this one
        for layer in model.layers:  # a compiler sees into plain PyTorch; only the flat form has this attribute
            layer.form.rule = naive.fused_delta_rule
        model = torch.compile(model)
    name = "torch.compile" if compiled else "PyTorch"
    return FunctionEngine(opened, checkpoint.weights.name, partial(in_torch, lambda *x: model(*x)[0]), name)


def in_torch(model: "Callable[..., Any]", input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """Call a function of two tensors with two arrays ``[B, L]`` int64; ``[B, hidden]`` of the function's dtype."""
    import torch

    with torch.inference_mode():
        return model(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).numpy()


def _fingerprint(bundle: Bundle, checkpoint: "Checkpoint", info: SubjectInfo, compiled: bool) -> tuple[Any, ...]:
    manifest = bundle.manifest
    # Hash the tensors, not the weights file: some tensors come from a teacher or from the config.
    model = (_tensors_sha256(checkpoint), checkpoint.config.to_dict(), manifest.form, manifest.chunk_size)
    return (*model, info.precision, compiled, info.runtime, _source_sha256(), processor_name(), platform.machine())


def _tensors_sha256(checkpoint: "Checkpoint") -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), tensor.shape]).encode("ascii"))
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _source_sha256() -> str:
    """The hash of the reference's code and of all operators. Another version of the code gives other results."""
    digest = hashlib.sha256()
    for package in (lam_export.model, lam_plugins):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
