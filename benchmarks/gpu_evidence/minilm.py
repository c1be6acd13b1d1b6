"""The transformer that LAM is compared with: a BERT with PyTorch's fused attention, mean pooling and unit length."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ATTENTION = "attention.self"


class MiniLm(nn.Module):
    """A BERT for texts of one length, without padding: the fastest case of its attention.

    A text that is longer than the position table starts again at the first position: its cost is right, its embedding
    means nothing.
    """

    def __init__(self, tensors: dict[str, Tensor], heads: int, eps: float = 1e-12) -> None:
        """Take a BERT's tensors in their names of ``transformers``."""
        super().__init__()
        self.embedding = nn.ModuleList(
            nn.Embedding.from_pretrained(tensors[f"embeddings.{name}_embeddings.weight"])
            for name in ("word", "position", "token_type")
        )
        self.norm = _norm(tensors, "embeddings.LayerNorm", eps)
        count = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("encoder.layer."))
        self.layers = nn.ModuleList(BertLayer(tensors, f"encoder.layer.{i}", heads, eps) for i in range(count))
        self.eval().requires_grad_(False)

    def forward(self, input_ids: Tensor) -> Tensor:
        """``[B, L]`` int64 to ``[B, M]`` float32."""
        word, position, token_type = self.embedding
        places = torch.arange(input_ids.shape[1], device=input_ids.device) % position.num_embeddings
        x = self.norm(word(input_ids) + position(places) + token_type.weight[0])
        for layer in self.layers:
            x = layer(x)
        return F.normalize(x.float().mean(1), dim=-1, eps=1e-12)


class BertLayer(nn.Module):
    """Attention and feed-forward part, each followed by its residual sum and norm."""

    def __init__(self, tensors: dict[str, Tensor], name: str, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        parts = [f"{name}.{ATTENTION}.{part}" for part in ("query", "key", "value")]
        self.qkv = _linear(*(torch.cat([tensors[f"{part}.{kind}"] for part in parts]) for kind in ("weight", "bias")))
        self.out = _named(tensors, f"{name}.attention.output.dense")
        self.out_norm = _norm(tensors, f"{name}.attention.output.LayerNorm", eps)
        self.ffn_in = _named(tensors, f"{name}.intermediate.dense")
        self.ffn_out = _named(tensors, f"{name}.output.dense")
        self.ffn_norm = _norm(tensors, f"{name}.output.LayerNorm", eps)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, M]`` to ``[B, L, M]``."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = self.out_norm(x + self.out(attended))
        return self.ffn_norm(x + self.ffn_out(F.gelu(self.ffn_in(x))))


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": bias})
    return linear


def _named(tensors: dict[str, Tensor], name: str) -> nn.Linear:
    return _linear(tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _norm(tensors: dict[str, Tensor], name: str, eps: float) -> nn.LayerNorm:
    norm = nn.LayerNorm(len(tensors[f"{name}.weight"]), eps=eps)
    norm.load_state_dict({"weight": tensors[f"{name}.weight"], "bias": tensors[f"{name}.bias"]})
    return norm
