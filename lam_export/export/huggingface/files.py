"""The small files beside the graphs, from which other people's tools learn what the model is."""

import json
from collections.abc import Mapping

from lam_engines.bundles.manifest import ModelInfo
from lam_engines.contract import TOKENIZER, TOKENIZER_CONFIG
from lam_engines.embedding.tokenizer import LONGEST_ELSEWHERE, Tokenizer
from lam_export.version import __version__

CONFIG = "config.json"
GRAPH, INT8_GRAPH = "onnx/model.onnx", "onnx/model_quantized.onnx"
"""Names by which the tools find a graph without being told."""
OPENVINO_GRAPH = "openvino/openvino_model.xml"
MAKER = "lam_export"
"""Key of ``config.json`` that tells our folders from other people's. It holds lam-export's version."""
_AS_IN_BERT = {
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("vocab_size", "type_vocab_size", "layer_norm_eps", "pad_token_id"),
}
"""Sizes and constants that a BERT's config has under the same names."""


def small_files(model: ModelInfo, tokenizer: Tokenizer) -> Mapping[str, str]:
    """The content of each file, by its path in the folder.

    The tools know no LAM. They read a BERT's sizes and take the graph as it is. ``max_position_embeddings`` is out of
    the way, because most tools truncate there without a word, and at 512 without it. ``sentence_bert_config.json`` is
    left out, because text-embeddings-inference refuses it without a length.
    """

    def module(index: int, kind: str, path: str) -> dict[str, object]:
        return {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}

    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        "max_position_embeddings": LONGEST_ELSEWHERE,
        **model.model_dump(include=_AS_IN_BERT),
        MAKER: __version__,
    }
    pooling = {
        "word_embedding_dimension": model.hidden_size,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    modules = [module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling"), module(2, "Normalize", "2_Normalize")]
    return {
        CONFIG: _json(config),
        TOKENIZER: tokenizer.to_json(),
        TOKENIZER_CONFIG: tokenizer.to_config(model.pad_token_id),
        "modules.json": _json(modules),
        "1_Pooling/config.json": _json(pooling),
        "config_sentence_transformers.json": _json({"similarity_fn_name": "cosine"}),
    }


def _json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"
