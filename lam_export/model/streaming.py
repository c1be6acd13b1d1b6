"""The recurrent encoder for texts in windows. Each window takes the states of the previous one and returns its own."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from .encoder import Encoder


class StreamingEncoder(nn.Module):
    """A recurrent encoder that takes a text of any length in windows, and gives the embedding of the whole text.

    For one chunk, a layer needs the states before it, the two rows before it, and one row after it: the convolution
    looks one token ahead, and the chunk's flux and decays are means over the whole chunk. So N layers look N chunks
    ahead. If the rows reach N chunks beyond a window's own rows, the input of layer i (from 0) is right except in the
    last i chunks. The states after the own rows are handed on. The next window computes the look-ahead again.
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
            input_ids: ``[1, L]`` int64: the own rows, then N chunks of look-ahead, or fewer at the text's end.
            window: ``[4]`` int64: the first row's place in the text (a multiple of the chunk size), the text's number
                of tokens, 0, and the number of own rows: whole chunks, or all rows to the text's end.
            contexts: ``[N, 2, 3M]``, for each layer the convolution's inputs of the two previous rows; zeros at the
                text's beginning.
            states: ``[N, H, 2, D, D]``, each layer's states before the first row; zeros at the text's beginning.

        Returns:
            The sum ``[1, M]`` over the own rows, and the contexts and states after them for the next window.
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
