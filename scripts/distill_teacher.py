"""The teacher of the distillation, and its targets kept on disk."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lam_engines.bundles.whole import drafted_file, put_file_in_place


class Targets(NamedTuple):
    """A batch without padding, and what the teacher makes of it."""

    input_ids: Tensor
    """``[B, L]`` int64."""
    states: Tensor
    """``[N + 1, B, L, M]`` bfloat16: the embeddings' output and every layer's."""
    embedding: Tensor
    """``[B, M]`` float32, of unit length."""


class Teacher:
    """all-MiniLM-L6-v2, its products in bfloat16."""

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import BertModel, logging

        logging.set_verbosity_error()  # it reports the unused pooler
        logging.disable_progress_bar()
        bert = BertModel.from_pretrained(str(folder), add_pooling_layer=False)
        self.bert = bert.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def __call__(self, input_ids: Tensor) -> Targets:
        """The targets of ``[B, L]`` without padding, on the teacher's device."""
        input_ids = input_ids.to(self.bert.device)
        with torch.autocast(input_ids.device.type, torch.bfloat16):
            output = self.bert(input_ids, output_hidden_states=True)
        states = torch.stack(output.hidden_states)
        return Targets(input_ids, states.bfloat16(), F.normalize(states[-1].float().mean(1), dim=-1))


class Pool:
    """Batches with their targets on disk: the teacher runs once for a batch that is used several times.

    ``PATH`` holds the ids and embeddings, ``PATH.states`` the hidden states, which are read from there as they are
    needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._batches: list[tuple[Tensor, Tensor, int]] = torch.load(path, weights_only=True)["batches"]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Targets:
        input_ids, embedding, offset = self._batches[index]
        states = self._path.with_suffix(".states")
        mapped = torch.from_file(str(states), size=states.stat().st_size // 2, dtype=torch.bfloat16)
        end = self._batches[index + 1][2] if index + 1 < len(self) else len(mapped)
        return Targets(input_ids, mapped[offset:end].view(-1, *input_ids.shape, embedding.shape[1]), embedding)

    @staticmethod
    def made_for(path: Path) -> str | None:
        """What the pool at ``path`` was made for; None if there is none."""
        return torch.load(path, weights_only=True)["made_for"] if path.exists() else None

    @staticmethod
    def write(path: Path, made_for: str, targets: Iterable[Targets]) -> None:
        """Write the targets as they come. ``path`` itself appears when all are written."""
        batches, offset = [], 0
        path.unlink(missing_ok=True)
        with path.with_suffix(".states").open("wb") as states:
            for target in targets:
                states.write(target.states.cpu().contiguous().view(torch.int16).numpy())
                batches.append((target.input_ids.cpu(), target.embedding.cpu(), offset))
                offset += target.states.numel()
        with drafted_file(path) as draft:
            torch.save({"made_for": made_for, "batches": batches}, draft)
            put_file_in_place(draft, path)
