"""The two that are compared: the PyTorch reference, or a bundle in a runtime."""

import hashlib
import json
import platform
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import lam_export.model
import lam_plugins.fused_delta_rule
from lam_engines import load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.errors import LamError

from .schema import SideInfo

if TYPE_CHECKING:
    from lam_engines.embedding.engine import EmbeddingEngine
    from lam_export.model.checkpoint import Checkpoint
    from lam_export.model.encoder import Encoder

_PRECISIONS = {"float64": "fp64", "float32": "fp32"}
_RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "tensorrt": "TensorRT"}


class Side(ABC):
    """Something that embeds token ids."""

    def __init__(self, info: SideInfo, key: str) -> None:
        """Take what the report says of it, and the SHA-256 over all that decides its vectors."""
        self.info = info
        self.key = key

    @abstractmethod
    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Embed one batch.

        Args:
            input_ids: ``[B, L]`` int64.
            attention_mask: ``[B, L]`` int64, ones then zeros: padding is on the right.

        Returns:
            ``[B, hidden]``: float64 of a float64 reference, else float32.

        Raises:
            LamError: memory does not suffice, or the side is closed.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back the memory. The side cannot be used afterwards."""

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def reference_side(checkpoint: "Checkpoint", *, form: str, chunk_size: int | None, dtype: str = "float64") -> Side:
    """The encoder in PyTorch, on the CPU.

    Args:
        checkpoint: what ``load_checkpoint`` read.
        form: of the delta rule, as in the bundle's manifest.
        chunk_size: tokens in a chunk, as in the bundle's manifest; None in a form without chunks.
        dtype: ``float64`` or ``float32``.

    Raises:
        LamError: there is no such form or dtype.
    """
    import torch

    from lam_export.model.encoder import Encoder
    from lam_export.model.forms import FORMS

    if dtype not in _PRECISIONS:
        raise LamError(f"expected the reference in {' or '.join(_PRECISIONS)}, found {dtype!r}")
    if form not in FORMS:
        raise LamError(f"the bundle is of the form {form!r}, unknown to this version; upgrade lam-export")
    info = SideInfo(
        name=f"PyTorch {dtype}",
        precision=_PRECISIONS[dtype],  # type: ignore[arg-type]
        runtime=f"torch {torch.__version__}",
        artefact=checkpoint.weights.name,
        sha256=checkpoint.sha256,
        bytes=checkpoint.weights.stat().st_size,
    )
    # The tensors themselves: the weights file alone does not say what came from a teacher or the config.
    model = (_tensors_sha256(checkpoint), checkpoint.config.to_dict(), form, chunk_size)
    key = _key(*model, dtype, info.runtime, _source_sha256(), _hardware(cuda=False))
    return _Reference(info, key, Encoder(checkpoint, form=form, chunk_size=chunk_size).to(getattr(torch, dtype)))


def engine_side(
    bundle: Bundle, *, engine: str = "onnxruntime", precision: str = "fp32", device: str | None = None
) -> Side:
    """A bundle in one of the engines that serve it.

    Args:
        bundle: an open bundle.
        engine: one of ``lam_engines.ENGINES``.
        precision: of the graph or plan, as far as the bundle has it: ``fp32``, ``fp16`` or ``int8``.
        device: ``cpu`` or ``cuda``; the engine's default if left out.

    Raises:
        LamError: the runtime or the device is not there, or the bundle is altered or has no such precision.
    """
    loaded = load_engine(bundle.path, engine, precision=precision, device=device)
    entry = loaded.bundle.manifest.files[loaded.file]
    version = import_module(engine).__version__
    cuda = engine == "tensorrt" or device == "cuda"
    info = SideInfo(
        name=f"{_RUNTIMES[engine]} {Path(loaded.file).name}" + (" on CUDA" if device == "cuda" else ""),
        precision=precision,  # type: ignore[arg-type]
        runtime=f"{engine} {version.partition('-')[0]}",  # OpenVINO's goes on with its build
        artefact=Path(loaded.file).name,
        sha256=entry.sha256,
        bytes=entry.bytes,
    )
    key = _key(info.sha256, precision, engine, version, "cuda" if cuda else "cpu", _hardware(cuda=cuda))
    return _Engine(info, key, loaded)


class _Reference(Side):
    def __init__(self, info: SideInfo, key: str, encoder: "Encoder") -> None:
        super().__init__(info, key)
        self._encoder: Encoder | None = encoder

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        import torch

        if self._encoder is None:
            raise LamError("the reference is closed; make it again: reference_side(CHECKPOINT)")
        try:
            with torch.inference_mode():
                vectors, _ = self._encoder(torch.from_numpy(input_ids), torch.from_numpy(attention_mask))
        except (RuntimeError, IndexError) as error:  # memory is short, or the ids are of another vocabulary
            reason = (str(error).splitlines() or ["no details"])[0]
            rows, tokens = input_ids.shape
            raise LamError(
                f"PyTorch failed on a batch of {rows} x {tokens} tokens: {reason}; if memory is short, cut the longest "
                f"texts"
            ) from None
        return vectors.numpy()

    def close(self) -> None:
        self._encoder = None


class _Engine(Side):
    def __init__(self, info: SideInfo, key: str, engine: "EmbeddingEngine") -> None:
        super().__init__(info, key)
        self._engine = engine

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        return self._engine.embed_ids(input_ids, attention_mask)

    def close(self) -> None:
        self._engine.close()


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()


def _tensors_sha256(checkpoint: "Checkpoint") -> str:
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), tensor.shape]).encode("ascii"))
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _source_sha256() -> str:
    """Of the reference's own code: results of another version of it are not its results."""
    digest = hashlib.sha256()
    for package in (lam_export.model, lam_plugins.fused_delta_rule):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _hardware(*, cuda: bool) -> str:
    """The processor's name: runtimes choose their kernels by it, and int8 kernels differ by more than rounding."""
    if cuda:
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    return next((line for line in lines if line.startswith("model name")), platform.processor())
