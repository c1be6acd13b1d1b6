"""The transformer that LAM is compared with: a BERT as an ONNX file that gives sentence embeddings."""

import json
from dataclasses import dataclass
from pathlib import Path

from lam_engines.contract import ATTENTION_MASK, INPUT_IDS, INPUTS, SENTENCE_EMBEDDING
from lam_engines.errors import LamError, first_line

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Transformer:
    """A BERT and the sizes that limit it, from its ``config.json``."""

    folder: Path
    name: str
    positions: int
    """Rows of the position table: the longest text in tokens."""
    heads: int
    vocab_size: int

    def attention_bytes(self, texts: int, tokens: int) -> int:
        """Bytes of one layer's attention scores in float32, twice: before and after softmax."""
        return 2 * 4 * texts * self.heads * tokens * tokens


def read_transformer(folder: Path, name: str | None = None) -> Transformer:
    """Read the sizes of a BERT from its folder.

    Args:
        folder: as transformers writes it, with safetensors.
        name: the BERT's name in tables; by default the folder's name.

    Raises:
        LamError: the folder holds no BERT.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        sizes = (int(config[size]) for size in ("max_position_embeddings", "num_attention_heads", "vocab_size"))
        found = Transformer(folder, name or folder.resolve().name, *sizes)
        if config.get("model_type") == "bert" and (folder / WEIGHTS).is_file():
            return found
        there = "there" if (folder / WEIGHTS).is_file() else "missing"
        reason = f"a model of type {config.get('model_type')!r}, {WEIGHTS} {there}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise LamError(
        f"expected a BERT (config.json with its sizes, {WEIGHTS}) in {folder}, found {reason}; name another folder: "
        f"--transformer FOLDER"
    )


def export_transformer(transformer: Transformer, path: Path) -> None:
    """Write a BERT with mean pooling and normalisation as ONNX, and check that it equals PyTorch.

    Inputs and output are those of LAM's graphs: ``input_ids`` and ``attention_mask`` to ``sentence_embedding``. A text
    that is longer than the position table starts again at the first position. The cost is then realistic, but the
    embedding is meaningless.

    Args:
        transformer: the BERT.
        path: the file to write.

    Raises:
        LamError: the weights cannot be read, or the graph gives other embeddings.
    """
    import numpy as np
    import onnxruntime
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
    from transformers import BertModel

    from lam_export.export.trace import quiet

    from .metrics import Thresholds, diff

    class SentenceEncoder(nn.Module):
        def __init__(self, bert: nn.Module) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            places = torch.arange(input_ids.shape[1], device=input_ids.device)[None] % transformer.positions
            tokens = self.bert(input_ids, attention_mask, position_ids=places).last_hidden_state
            mask = attention_mask[..., None].to(tokens.dtype)
            mean = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return F.normalize(mean, dim=-1, eps=1e-12)

    silence_transformers()
    try:
        # ONNX Runtime runs the graph of the eager implementation fastest.
        bert = BertModel.from_pretrained(
            transformer.folder, local_files_only=True, add_pooling_layer=False, attn_implementation="eager"
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise LamError(
            f"transformers cannot load {transformer.folder} ({first_line(error)}); name another: --transformer FOLDER"
        ) from None
    model = SentenceEncoder(bert).eval()
    ids = torch.randint(transformer.vocab_size, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(12) < torch.tensor([[12], [5], [1]])).long()
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    with torch.inference_mode():
        with quiet():
            torch.onnx.export(
                model,
                (ids, mask),
                str(path),
                input_names=list(INPUTS),
                output_names=[SENTENCE_EMBEDDING],
                dynamic_shapes=(sizes, sizes),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for tokens in (12, transformer.positions, transformer.positions + 5):
            row = torch.arange(tokens).repeat(3, 1) % transformer.vocab_size
            seen = (torch.arange(tokens) < torch.tensor([[tokens], [5], [1]])).long()
            expected = model(row, seen).numpy()
            found = session.run(None, {INPUT_IDS: row.numpy(), ATTENTION_MASK: seen.numpy()})[0]
            if not (apart := diff(np.asarray(found), expected, Thresholds())):
                raise LamError(f"expected the transformer's graph to give PyTorch's embeddings, found {apart}")


def silence_transformers() -> None:
    """Hide the progress bars and advice of transformers from the user."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
