"""The model card: a README that hubs show, with figures and a snippet for each tool."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from lam_engines.bundles.manifest import Manifest

_CARD = Template("""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- sentence-similarity
- feature-extraction
- onnx
- transformers.js
$index---

# $name

A LAM sentence encoder: a text of any length to $hidden numbers of unit length. The cost grows linearly with the text.
It was written by lam-export $version from the checkpoint `$checkpoint` (sha256 `$sha256`).

## Figures

| what | figure | how |
|---|---|---|
$figures

## Use

No tool truncates a text below a million tokens. `FOLDER` is this folder, or its name on a hub.

sentence-transformers 5, with `pip install optimum-onnx`:

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("FOLDER", backend="onnx")
vectors = model.encode(["a first text", "and another"])
```
$openvino
fastembed:

```python
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

TextEmbedding.add_custom_model(
    model="$name", pooling=PoolingType.DISABLED, normalization=False, sources=ModelSource(hf="$name"), dim=$hidden,
    model_file="onnx/model.onnx",
)
vectors = list(TextEmbedding("$name", specific_model_path="FOLDER").embed(["a first text", "and another"]))
```

transformers.js$q8:

```js
import { pipeline } from "@huggingface/transformers";

const embed = await pipeline("feature-extraction", "FOLDER", { dtype: "$dtype" });
const vectors = await embed(["a first text", "and another"], { pooling: "mean", normalize: true });
```

txtai:

```python
from txtai import Embeddings

embeddings = Embeddings(path="FOLDER/onnx/model.onnx", tokenizer="FOLDER/tokenizer.json")
```

ONNX Runtime in any language: the inputs are `input_ids` and `attention_mask`, int64 `[batch, tokens]`, padded on the
right. The first output is `sentence_embedding`, float32 `[batch, $hidden]`.
""")
_OPENVINO = """
In OpenVINO, with `pip install optimum-intel openvino`. Without the option, processors that know bfloat16 compute in it:

```python
model = SentenceTransformer(
    "FOLDER", backend="openvino", model_kwargs={"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}}
)
```
"""


@dataclass(frozen=True)
class Figure:
    """A row of the card's table."""

    what: str
    figure: str
    how: str


@dataclass(frozen=True)
class Score:
    """Spearman's correlation on pairs of texts, for the card's front matter."""

    dataset: str
    spearman: float


def model_card(
    name: str, manifest: Manifest, figures: Sequence[Figure], score: Score | None, *, int8: bool, openvino: bool
) -> str:
    """The content of ``README.md``.

    Args:
        name: the model's name.
        manifest: the bundle's.
        figures: what was measured, and how.
        score: of the float32 graph, if it was measured.
        int8: whether the folder has the int8 graph.
        openvino: whether it has OpenVINO's files.
    """
    return _CARD.substitute(
        name=name,
        hidden=manifest.model.hidden_size,
        version=manifest.tools.get("lam-export", ""),
        checkpoint=manifest.checkpoint.file,
        sha256=manifest.checkpoint.sha256,
        figures="\n".join(f"| {row.what} | {row.figure} | {row.how} |" for row in figures),
        index=_index(name, score),
        openvino=_OPENVINO if openvino else "",
        q8=', where `"q8"` is the int8 graph' if int8 else "",
        dtype="q8" if int8 else "fp32",
    )


def _index(name: str, score: Score | None) -> str:
    """The result as hubs read it."""
    if score is None:
        return ""
    return f"""model-index:
- name: "{name}"
  results:
  - task:
      type: semantic-similarity
    dataset:
      name: "{score.dataset}"
      type: sts
    metrics:
    - type: spearman_cosine
      value: {score.spearman:.4f}
"""
