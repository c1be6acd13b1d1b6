"""The reference: a LAM sentence encoder in readable PyTorch. Every artefact is compared with this."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import Checkpoint
from .forms import CHUNK_SIZES, form_class


class Encoder(nn.Module):
    """The reference encoder. A text's embedding depends only on its own tokens, not on batch, padding or neighbours."""

    def __init__(self, checkpoint: Checkpoint, form: str = "flat", chunk_size: int | None = None) -> None:
        """Build the encoder from a checked checkpoint, in float32, on the CPU, ready for inference.

        Args:
            checkpoint: what :func:`load_checkpoint` read.
            form: one of ``forms.FORMS``.
            chunk_size: tokens in a chunk; None: the form's default. A form without chunks ignores it.

        Raises:
            KeyError: there is no form of that name.
        """
        super().__init__()
        self.config = checkpoint.config
        published = CHUNK_SIZES[form]
        self.chunk_size = published if published is None or chunk_size is None else chunk_size
        self.embeddings = EmbeddingTables(checkpoint)
        self.layers = nn.ModuleList(
            Layer(checkpoint, i, form, self.chunk_size) for i in range(self.config.num_hidden_layers)
        )
        self.eval().requires_grad_(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, window: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Embed a batch of tokenised texts.

        In the form ``flat``, a text that does not fit into memory can be given in windows. In one layer, a token sees
        its own chunk, two tokens before the chunk, and one token ahead. So in N layers it sees N chunks back and N
        tokens ahead. If a window has that many more tokens on either side, its own tokens come out as in the
        whole text.

        Args:
            input_ids: ``[B, L]`` int64.
            attention_mask: ``[B, L]`` int64, ones then zeros: padding is on the right.
            window: ``[4]`` int64, for a window of a longer text: the first row's place in the text (a multiple of the
                chunk size), the text's number of tokens, the window's first own row, and the row after its last own
                row. None or zeros: the rows are whole texts.

        Returns:
            ``sentence_embedding [B, M]``, of unit length, or zero for a text without tokens; for a window, the sum of
            its own rows instead. And ``token_embeddings [B, L, M]``, zero in padded rows.
        """
        lengths = attention_mask.sum(1, dtype=torch.int32)
        if window is None:
            x = self.embeddings(input_ids, lengths)
        else:
            cut = window[1] > 0
            x = self.embeddings(input_ids, torch.where(cut, window[1], lengths), window[0])
        for layer in self.layers:
            x = layer(x, lengths)
        mask = attention_mask[..., None].to(x.dtype)
        token_embeddings = x * mask
        if window is not None:
            row = torch.arange(input_ids.shape[1], device=input_ids.device)[:, None]
            mask = mask * (~cut | ((row >= window[2]) & (row < window[3]))).to(x.dtype)
        # A product, not a masked sum: one pass over the tokens.
        total = (mask.mT @ x).squeeze(1)
        embedding = F.normalize(total / mask.sum(1).clamp(min=1e-9), dim=-1, eps=1e-12)
        return embedding if window is None else torch.where(cut, total, embedding), token_embeddings


class EmbeddingTables(nn.Module):
    """Word, type and position embeddings, and their norm."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        tensors = checkpoint.tensors
        self.word = _parameter(tensors["embeddings.word_embeddings.weight"])
        self.position = _parameter(tensors["embeddings.position_embeddings.weight"])
        self.token_type = _parameter(tensors["embeddings.token_type_embeddings.weight"])
        self.norm = _layer_norm(checkpoint, "embeddings.LayerNorm")

    def forward(self, input_ids: Tensor, lengths: Tensor, first: Tensor | int = 0) -> Tensor:
        """``input_ids [B, L]`` and ``lengths [B]`` to ``[B, L, M]``; ``first`` as in :func:`position_rows`."""
        # Every token has type 0. Its row is added to the position table rather than to each token. The result is the
        # same, because rows of the table are blended with weights that sum to one.
        table = self.position + self.token_type[0]
        row, fraction = position_rows(lengths, input_ids.shape[1], table.shape[0], table.dtype, first)
        fraction = fraction[..., None]
        here = F.embedding(row, table)
        following = F.embedding((row + 1).clamp(max=table.shape[0] - 1), table)
        word = F.embedding(input_ids, self.word).to(table.dtype)
        return self.norm(word + here + fraction * (following - here))


def position_rows(
    lengths: Tensor, tokens: int, rows: int, dtype: torch.dtype, first: Tensor | int = 0
) -> tuple[Tensor, Tensor]:
    """The place of each token in the position table, computed from its text's true length.

    A text of n <= R tokens uses rows 0..n-1. A longer text is spread over all R rows: token t is at row
    ``t (R-1) / (n-1)``, between two rows. The computation uses integers, so a text of 100,000 tokens is as exact as a
    short one. It has no branch, so a trace is right for every length.

    Args:
        lengths: ``[B]``.
        tokens: L, the padded length.
        rows: R.
        dtype: dtype of the fraction.
        first: the first token's place in its text; not 0 in a window.

    Returns:
        The lower row ``[B, L]`` int64, and the fraction ``[B, L]`` of the way to the next row. Padded tokens get rows
        inside the table too.
    """
    t = torch.arange(tokens, device=lengths.device)[None, :] + first
    n = lengths[:, None].long()
    longer = n > rows
    numerator = torch.where(longer, t * (rows - 1), t)
    denominator = torch.where(longer, n - 1, 1)
    row = numerator // denominator  # div(rounding_mode="trunc") would be traced as a division of float32
    fraction = (numerator - row * denominator).to(dtype) / denominator.to(dtype)
    return row.clamp(max=rows - 1), fraction


class Layer(nn.Module):
    """Mixer and feed-forward part, each followed by its residual sum and norm."""

    def __init__(self, checkpoint: Checkpoint, index: int, form: str, chunk_size: int | None) -> None:
        super().__init__()
        tensors, layer = checkpoint.tensors, checkpoint.layer(index)
        self.activation_passes = checkpoint.config.ffn_activation_passes
        self.form = form_class(form)(checkpoint.config, layer, chunk_size)
        self.o_proj = _linear(layer["o_proj.weight"])
        self.mixer_norm = _layer_norm(checkpoint, f"deltanet_norms.{index}")
        self.ffn_in = _linear(
            tensors[f"deltanet_ffns.{index}.dense.weight"], tensors[f"deltanet_ffns.{index}.dense.bias"]
        )
        self.ffn_out = _linear(tensors[f"output_denses.{index}.weight"], tensors[f"output_denses.{index}.bias"])
        self.ffn_norm = _layer_norm(checkpoint, f"ffn_norms.{index}")

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """``x [B, L, M]`` to ``[B, L, M]``."""
        return self.after_form(x, self.form(x, lengths))

    def after_form(self, x: Tensor, heads: Tensor) -> Tensor:
        """The layer's result, from its input ``x`` and the form's result ``heads``; all are ``[B, L, M]``."""
        x = self.mixer_norm(x + self.o_proj(heads))
        inner = self.ffn_in(x)
        for _ in range(self.activation_passes):
            inner = F.gelu(inner)
        return self.ffn_norm(x + self.ffn_out(inner))


def _parameter(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.float().clone())


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = _parameter(weight)
    if bias is not None:
        linear.bias = _parameter(bias)
    return linear


def _layer_norm(checkpoint: Checkpoint, name: str) -> nn.LayerNorm:
    norm = nn.LayerNorm(checkpoint.config.hidden_size, eps=checkpoint.config.layer_norm_eps)
    norm.weight = _parameter(checkpoint.tensors[f"{name}.weight"])
    norm.bias = _parameter(checkpoint.tensors[f"{name}.bias"])
    return norm
