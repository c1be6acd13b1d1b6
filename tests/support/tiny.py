"""A small random LAM with the scales of a trained one, in every layout in which checkpoints are met.

    folder = tiny.write_checkpoint(tmp_path / "lam")                            # flat, safetensors, with tokenizer
    folder = tiny.write_checkpoint(tmp_path / "lam", "deltanet_layers", "pickle", config_names="nested")
    teacher = tiny.write_teacher(tmp_path / "bert")                             # for the layouts in NEED_TEACHER
    checkpoint = load_checkpoint(folder, teacher)

Every layout holds the same model: loading any of them gives :func:`lam_tensors`.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HIDDEN, HEADS, LAYERS, FFN, VOCAB, TYPES, ROWS = 32, 2, 2, 64, 128, 2, 16
HEAD_SIZE = HIDDEN // HEADS

LAYOUTS = ("flat", "fine_tuned", "model_state_dict", "deltanet_layers", "lam_layers", "student_encoder", "layers_alone")
NEED_TEACHER = ("deltanet_layers", "lam_layers", "student_encoder", "layers_alone")
TRAINING = ("model_state_dict", "deltanet_layers", "lam_layers", "student_encoder")
"""Dictionaries in dictionaries, which safetensors cannot hold."""
FILE_FORMATS = ("safetensors", "pickle", "legacy_pickle")

FINE_TUNED = ("deltanet_norms.", "deltanet_ffns.", "output_denses.", "ffn_norms.", "embeddings.word_embeddings.")
"""The parts that the ``fine_tuned`` layout holds twice, with other values in the teacher."""

BERT_NAMES = {
    "deltanet_norms.{i}": "encoder.layer.{i}.attention.output.LayerNorm",
    "deltanet_ffns.{i}.dense": "encoder.layer.{i}.intermediate.dense",
    "output_denses.{i}": "encoder.layer.{i}.output.dense",
    "ffn_norms.{i}": "encoder.layer.{i}.output.LayerNorm",
}
"""LAM's name of each part of a layer that it shares with its teacher, and the teacher's."""

_WORDS = (
    "the a an and or of to in on is are was were not no it this that with for from by man woman dog cat child plays "
    "runs eats sleeps reads red blue big small house tree car street water music fast slow happy old new"
)


def lam_tensors(seed: int = 0, layers: int = LAYERS, *, shared_flux: bool = False) -> dict[str, Tensor]:
    """The model in canonical names (those of ``lam_export.model.checkpoint.schema``), float32.

    With another number of layers it is for an ``Encoder`` in memory; the files that are written here are of ``LAYERS``.
    ``shared_flux`` is the older layout, with one ``W_bilinear`` for all heads.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float, mean: float = 0.0) -> Tensor:
        return mean + std * torch.randn(*shape, generator=generator)

    def norm(name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": normal(HIDDEN, std=0.1, mean=0.6), f"{name}.bias": normal(HIDDEN, std=0.1)}

    def dense(name: str, rows: int, columns: int) -> dict[str, Tensor]:
        return {
            f"{name}.weight": normal(rows, columns, std=1.25 * columns**-0.5),
            f"{name}.bias": normal(rows, std=0.1),
        }

    tensors = {
        "embeddings.word_embeddings.weight": normal(VOCAB, HIDDEN, std=0.05),
        "embeddings.position_embeddings.weight": normal(ROWS, HIDDEN, std=0.02),
        "embeddings.token_type_embeddings.weight": normal(TYPES, HIDDEN, std=0.02),
        **norm("embeddings.LayerNorm"),
    }
    for i in range(layers):
        layer = f"deltanet_layers.{i}."
        for name, std in {"q": 1.8, "k": 1.8, "v": 0.9, "o": 0.8, "g": 0.4}.items():
            tensors[f"{layer}{name}_proj.weight"] = normal(HIDDEN, HIDDEN, std=std * HIDDEN**-0.5)
        for name in ("b", "fast_gate", "slow_gate", "fast_decay", "slow_decay"):
            tensors[f"{layer}{name}_proj.weight"] = normal(HEADS, HIDDEN, std=0.5 * HIDDEN**-0.5)
        for name, bias in {"fast": -1.2, "slow": -0.16}.items():
            tensors[f"{layer}{name}_decay_proj.bias"] = normal(HEADS, std=0.03)
            tensors[f"{layer}{name}_decay_bias"] = torch.full((HEADS,), bias)
        for name in ("q", "k", "v"):
            taps = normal(HIDDEN, 1, 4, std=0.1)
            taps[..., 2] += 1.0
            tensors[f"{layer}{name}_conv1d.conv.weight"] = taps
            tensors[f"{layer}{name}_conv1d.conv.bias"] = normal(HIDDEN, std=0.2)
        tensors[f"{layer}o_norm.weight"] = normal(HEAD_SIZE, std=0.02, mean=0.93)
        tensors[f"{layer}o_norm.gate"] = torch.ones(HEAD_SIZE)
        flux = f"{layer}resonance_flux."
        per_head = () if shared_flux else (HEADS,)
        tensors[f"{flux}W_bilinear"] = normal(*per_head, HEAD_SIZE, HEAD_SIZE, std=0.5 * HEAD_SIZE**-0.5)
        tensors[f"{flux}temp"] = torch.full((HEADS,), HEAD_SIZE**0.5)
        tensors |= dense(f"{flux}flux_net.0", HEAD_SIZE // 2, 2 * HEAD_SIZE + 1)
        tensors |= dense(f"{flux}flux_net.2", 1, HEAD_SIZE // 2)
        tensors |= dense(f"{flux}token_flux_proj.0", HEAD_SIZE // 2, 2 * HEAD_SIZE)
        tensors |= dense(f"{flux}token_flux_proj.2", 1, HEAD_SIZE // 2)
        tensors |= norm(f"deltanet_norms.{i}")
        tensors |= dense(f"deltanet_ffns.{i}.dense", FFN, HIDDEN)
        tensors |= dense(f"output_denses.{i}", HIDDEN, FFN)
        tensors |= norm(f"ffn_norms.{i}")
    return tensors


def bert_tensors(tensors: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The plain BERT that ``tensors`` (default: :func:`lam_tensors`) took its outside from, attention and all."""
    tensors = tensors or lam_tensors()
    generator = torch.Generator().manual_seed(99)
    bert = {name: t for name, t in tensors.items() if name.startswith("embeddings.")}
    # Older checkpoints carry this buffer.
    bert["embeddings.position_ids"] = torch.arange(ROWS)[None]
    for i in range(LAYERS):
        for ours, theirs in BERT_NAMES.items():
            for part in ("weight", "bias"):
                bert[f"{theirs.format(i=i)}.{part}"] = tensors[f"{ours.format(i=i)}.{part}"]
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            attention = f"encoder.layer.{i}.attention.{name}"
            bert[f"{attention}.weight"] = torch.randn(HIDDEN, HIDDEN, generator=generator)
            bert[f"{attention}.bias"] = torch.randn(HIDDEN, generator=generator)
    bert["pooler.dense.weight"] = torch.randn(HIDDEN, HIDDEN, generator=generator)
    bert["pooler.dense.bias"] = torch.randn(HIDDEN, generator=generator)
    return bert


def content(layout: str, tensors: dict[str, Tensor] | None = None) -> dict[str, Any]:
    """What the weights file of that layout holds."""
    tensors = tensors or lam_tensors()
    layers = {name: t for name, t in tensors.items() if name.startswith("deltanet_layers.")}
    flat = {f"teacher_model.{name}": t for name, t in bert_tensors(tensors).items()} | layers
    groups = {name.removeprefix("deltanet_layers."): t for name, t in layers.items()}
    training = {"config": config_json("lam"), "step": 100, "loss": 0.25, "optimizer_state_dict": {"state": {}}}
    if layout == "flat":
        return flat
    if layout == "fine_tuned":
        own = {name: t for name, t in tensors.items() if name.startswith(FINE_TUNED)}
        stale = {name: 1 - 2 * t if name in own else t for name, t in tensors.items()}
        return {f"teacher_model.{name}": t for name, t in bert_tensors(stale).items()} | layers | own
    if layout == "model_state_dict":
        return {"model_state_dict": flat, **training}
    if layout in ("deltanet_layers", "lam_layers"):
        return {layout: groups, **training}
    if layout == "student_encoder":
        return {"student_encoder": layers, **training}
    assert layout == "layers_alone", layout
    return layers


def config_json(names: str) -> dict[str, Any]:
    """A truthful ``config.json`` with the names of a ``bert``, of a ``lam``, or ``nested`` in ``lam_config``."""
    common = {
        "intermediate_size": FFN,
        "vocab_size": VOCAB,
        "type_vocab_size": TYPES,
        "max_position_embeddings": ROWS,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "hidden_act": "gelu",
    }
    if names == "bert":
        sizes = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    else:
        sizes = {"d_model": HIDDEN, "num_layers": LAYERS, "num_heads": HEADS}
    if names == "nested":
        return {"model_type": "lam", "lam_config": sizes | common}
    return {"model_type": "lam", **sizes, **common}


def write_checkpoint(
    folder: Path,
    layout: str = "flat",
    file_format: str = "safetensors",
    config_names: str | None = "bert",
    tensors: dict[str, Tensor] | None = None,
) -> Path:
    """Write a checkpoint folder: weights, ``config.json`` (none for ``config_names=None``) and ``tokenizer.json``.

    Args:
        folder: made if need be.
        layout: one of ``LAYOUTS``; those in ``TRAINING`` go into pickles only.
        file_format: one of ``FILE_FORMATS``.
        config_names: see :func:`config_json`.
        tensors: another model of the same sizes, in canonical names.

    Returns:
        ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, content(layout, tensors), file_format, "checkpoint_100.pt" if layout in TRAINING else None)
    if config_names:
        (folder / "config.json").write_text(json.dumps(config_json(config_names)), encoding="utf-8")
    write_tokenizer(folder / "tokenizer.json")
    return folder


def write_weights(
    folder: Path, held: dict[str, Any], file_format: str = "safetensors", name: str | None = None
) -> Path:
    """Write ``held`` as the folder's weights file, by default under the format's standard name; returns its path."""
    path = folder / (name or ("model.safetensors" if file_format == "safetensors" else "pytorch_model.bin"))
    if file_format == "safetensors":
        from safetensors.torch import save_file

        save_file(held, path)
    else:
        torch.save(held, path, _use_new_zipfile_serialization=file_format == "pickle")
    return path


def write_teacher(folder: Path, tensors: dict[str, Tensor] | None = None) -> Path:
    """Write the BERT that ``tensors`` took its outside from, as a folder with its tokenizer; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, bert_tensors(tensors))
    config = config_json("bert") | {"model_type": "bert"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_tokenizer(folder / "tokenizer.json")
    return folder


def write_tokenizer(path: Path) -> Path:
    """Write a WordPiece ``tokenizer.json`` of ``VOCAB`` entries; returns ``path``.

    Lower-casing, ``[CLS] .. [SEP]`` around a text, and, as in MiniLM's file, truncation to 128 tokens and padding to
    128 switched on. Unknown characters are ``[UNK]``, every word of letters and digits has pieces.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters), *".,!?'-"]
    pieces += [word for word in _WORDS.split() if word not in pieces]
    assert len(pieces) >= VOCAB, f"{VOCAB - len(pieces)} more words are needed"
    vocabulary = {piece: i for i, piece in enumerate(pieces[:VOCAB])}

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(pieces[:5])
    tokenizer.enable_truncation(max_length=128)
    tokenizer.enable_padding(length=128, pad_id=0, pad_token="[PAD]")
    tokenizer.save(str(path))
    return path
