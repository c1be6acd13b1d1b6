"""The recurrent encoder window by window: what a text's rows so far left behind goes in, and out again."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from .encoder import Encoder


class StreamingEncoder(nn.Module):
    """A recurrent encoder that takes a text of any length in windows, with the embedding of the whole text.

    A layer needs the states before a chunk, the two rows before it, the chunk, and one row after it: the convolution
    looks one token ahead, and a chunk's flux and decays are means over all of it. So N layers look N chunks ahead:
    where the rows reach N chunks beyond a window's own ones, those that layer i (from 0) reads are right but for the
    last i chunks. What is handed on is what the own rows leave behind; the look-ahead is computed again in the next
    window.
    """

    def __init__(self, encoder: Encoder) -> None:
        """``encoder`` is of the form ``recurrent``; its weights are shared."""
        super().__init__()
        self.encoder = encoder

    def forward(
        self, input_ids: Tensor, window: Tensor, contexts: Tensor, states: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sum the token embeddings of a window's own rows.

        Args:
            input_ids: ``[1, L]`` int64: the own rows, and N chunks of look-ahead, or all that the text has.
            window: ``[4]`` int64: which of the text's tokens the first row is (a multiple of the chunk), how many
                tokens the text has, 0, and how many rows are own: whole chunks, or all up to the text's end.
            contexts: ``[N, 2, 3M]``, what each layer's convolution has to know of the two rows before; zeros at the
                text's beginning.
            states: ``[N, H, 2, D, D]``, of each layer, before the first row; zeros at the text's beginning.

        Returns:
            The sum ``[1, M]`` over the own rows, and contexts and states after them, for the next window.
        """
        own = window[3:]
        x = self.encoder.embeddings(input_ids, window[1:2], window[0])
        after = []
        for i, layer in enumerate(self.encoder.layers):
            form = cast(Any, layer).form
            heads, *carried = form.stream(x, own.int(), contexts[i : i + 1], states[i : i + 1])
            after.append(carried)
            x = cast(Any, layer).after_form(x, heads)
        is_own = (torch.arange(input_ids.shape[1], device=own.device) < own).to(x.dtype)
        contexts, states = (torch.cat(carried) for carried in zip(*after, strict=True))
        return is_own @ x, contexts, states


def beginning(encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Contexts and states at a text's beginning."""
    config = encoder.config
    heads, size = config.num_attention_heads, config.head_size
    like = encoder.embeddings.word
    contexts = like.new_zeros(config.num_hidden_layers, 2, 3 * config.hidden_size)
    return contexts, like.new_zeros(config.num_hidden_layers, heads, 2, size, size)
