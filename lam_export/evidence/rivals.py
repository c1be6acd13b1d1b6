"""What users would run instead, behind the engines' interface: same batches, same tokens, same checks.

The functions are sent to other processes, so their arguments must be picklable.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import EngineError

from .transformer import silence_transformers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lam_export.model.encoder import Encoder


class _Rival(EmbeddingEngine):
    """A function of ``input_ids`` and ``attention_mask`` as an engine, with the bundle's tokenizer."""

    def __init__(
        self, bundle: Bundle, file: str, infer: "Callable[[np.ndarray, np.ndarray], np.ndarray]", name: str
    ) -> None:
        super().__init__(bundle, file)
        self._function = infer
        self._name = name

    def _infer(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        try:
            return self._function(input_ids, attention_mask)
        except Exception as error:  # a runtime's, or a compiler's
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            rows, tokens = input_ids.shape
            raise EngineError(f"{self._name} failed on a batch of {rows} x {tokens} tokens: {reason[:300]}") from None

    def close(self) -> None:
        del self._function


def pytorch(
    bundle: Path, checkpoint: Path, teacher: Path | None, *, compiled: bool, threads: int | None
) -> EmbeddingEngine:
    """The reference in float32 on a CPU, eager or through ``torch.compile``.

    Compiled anew for each shape by PyTorch's own choice; whoever times it calls it once before.
    """
    import torch

    from lam_export.model.checkpoint import load_checkpoint

    from .references import encoder_of

    _use_threads(threads)
    opened = Bundle(bundle)
    loaded = load_checkpoint(checkpoint, teacher)
    model: Any = encoder_of(opened, loaded)
    if compiled:
        torch._inductor.config.compile_threads = 1  # otherwise it starts processes that outlive this one
        model = torch.compile(_transparent(model))
    infer = partial(_in_torch, lambda ids, mask: model(ids, mask)[0])
    return _Rival(opened, loaded.weights.name, infer, "torch.compile" if compiled else "PyTorch")


def transformer_onnxruntime(bundle: Path, graph: Path, *, threads: int | None) -> EmbeddingEngine:
    """A graph of :func:`transformer.export_transformer` in ONNX Runtime, with the same options as the bundle's."""
    import onnxruntime

    from lam_engines.runtimes.onnxruntime.engine import session_options

    session = onnxruntime.InferenceSession(str(graph), session_options(threads), providers=["CPUExecutionProvider"])

    def infer(input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        return session.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})[0]

    return _Rival(Bundle(bundle), graph.name, infer, "ONNX Runtime")


def transformer_openvino(bundle: Path, graph: Path, *, threads: int | None) -> EmbeddingEngine:
    """The same in OpenVINO, compiled as the bundle's graph is."""
    from lam_engines.runtimes.openvino.engine import compile_options, library

    compiled = library().Core().compile_model(str(graph), "CPU", compile_options(threads))

    def infer(input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        return compiled({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]

    return _Rival(Bundle(bundle), graph.name, infer, "OpenVINO")


class SentenceTransformers(_Rival):
    """A folder in sentence-transformers: its own batches where it is given texts."""

    def __init__(self, bundle: Path, folder: Path, *, threads: int | None) -> None:
        """Load it from the folder alone; nothing is asked of a network."""
        import torch
        from sentence_transformers import SentenceTransformer

        silence_transformers()
        _use_threads(threads)
        model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        model.max_seq_length = model[0].auto_model.config.max_position_embeddings
        self._model = model

        def embed(ids: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
            found = model({"input_ids": ids, "attention_mask": mask})["sentence_embedding"]
            return torch.nn.functional.normalize(found, dim=-1)

        super().__init__(Bundle(bundle), "model.safetensors", partial(_in_torch, embed), "sentence-transformers")

    def embed(self, texts: "Sequence[str]", **options: Any) -> np.ndarray:
        """Through its ``encode``, as it comes: 32 texts to a batch."""
        return self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def _in_torch(model: "Callable[..., Any]", input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return model(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).numpy()


def _use_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _transparent(encoder: "Encoder") -> "Encoder":
    """With the operator in plain PyTorch: a compiler cannot look into a custom one, and would be slower for it."""
    from torch import Tensor, nn

    from lam_export.model.forms.flat import Flat
    from lam_plugins.fused_delta_rule import naive

    class Plain(nn.Module):
        def __init__(self, form: Flat) -> None:
            super().__init__()
            self.form = form

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            form: Any = self.form
            weights = (form.conv_weight, form.conv_bias, form.norm_weight, form.blend)
            return naive.fused_delta_rule(form.in_proj(x), lengths, *weights, form.chunk_size)

    for layer in encoder.layers:
        if isinstance(layer.form, Flat):
            layer.form = Plain(layer.form)
    return encoder
