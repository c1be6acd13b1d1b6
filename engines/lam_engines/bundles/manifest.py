"""What a bundle says of itself: the schema of ``manifest.json``."""

import json
import reprlib
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import BundleError

FORMAT_VERSION = 1


def is_plain_relative(name: str) -> bool:
    """Whether a name leads to a file below the folder, by the same spelling for every reader."""
    path = PurePosixPath(name)
    # isprintable: names are shown in messages of one line.
    plain = str(path) == name != "." and "\\" not in name and ":" not in name and name.isprintable()
    return plain and not path.is_absolute() and ".." not in path.parts


def _relative(name: str) -> str:
    if not is_plain_relative(name):
        raise ValueError("must be a plain relative path inside the bundle")
    return name


RelativePath = Annotated[str, AfterValidator(_relative)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Precision = Literal["fp32", "fp16", "bf16", "int8"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Strict):
    """A file of the bundle, as it was written."""

    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class Source(_Strict):
    """A file that the bundle was made from; its name alone, without a path."""

    file: str
    sha256: Sha256


class TensorSpec(_Strict):
    """An input or output of a graph; a dynamic dimension is given by its name."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Graph(_Strict):
    """One ONNX file of the bundle."""

    precision: Precision
    opset: int
    inlined: bool
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Range(_Strict):
    """What a dimension may be in an optimization profile, and what its kernels were chosen for."""

    min: Annotated[int, Field(ge=1)]
    opt: int
    max: int

    @model_validator(mode="after")
    def _is_ordered(self) -> "Range":
        if not self.min <= self.opt <= self.max:
            raise ValueError("must be min <= opt <= max")
        return self


class OptimizationProfile(_Strict):
    """A TensorRT optimization profile: the shapes ``[batch, tokens]`` that it takes."""

    batch: Range
    tokens: Range

    def __str__(self) -> str:
        """As ``lam-export trt --profile`` takes it, ``1x1,1x32,64x64``."""
        batch, tokens = self.batch, self.tokens
        return f"{batch.min}x{tokens.min},{batch.opt}x{tokens.opt},{batch.max}x{tokens.max}"


class Plan(_Strict):
    """A serialised TensorRT engine: of one GPU model and one TensorRT version."""

    graph: RelativePath
    """The graph that it was built from; its hash is in ``graph_sha256``."""
    graph_sha256: Sha256
    precision: Precision
    plugin: bool
    """Whether the fused operator is the kernel baked into the plan, or TensorRT's own layers."""
    tensorrt: str
    """Full version, 10.9.0.34."""
    compute_capability: Annotated[str, Field(pattern=r"^\d+\.\d+$")]
    gpu: str
    driver: str
    profiles: Annotated[tuple[OptimizationProfile, ...], Field(min_length=1)]
    tactics: dict[str, str]
    """Fused node to the kernel variant that TensorRT chose; empty without the plugin."""
    inspector: RelativePath
    """The engine inspector's JSON, beside the plan."""


class ModelInfo(_Strict):
    """The encoder's sizes and constants."""

    hidden_size: Annotated[int, Field(gt=0)]
    num_hidden_layers: int
    num_attention_heads: Annotated[int, Field(gt=0)]
    intermediate_size: int
    vocab_size: Annotated[int, Field(gt=0)]
    type_vocab_size: int
    position_rows: int
    layer_norm_eps: float
    pad_token_id: Annotated[int, Field(ge=0)]
    ffn_activation_passes: int
    blend: tuple[float, float]
    cross_coupling: bool = True
    final_norm: Literal["chunk", "end"] = "chunk"
    readout_norm: bool = True
    surprise_threshold: float | None = None

    @model_validator(mode="after")
    def _pad_is_a_token(self) -> "ModelInfo":
        if self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id must be below vocab_size ({self.vocab_size})")
        return self


class Manifest(_Strict):
    """``manifest.json``. Its own hash is in ``SHA256SUMS``, beside those of the files that it lists."""

    format_version: Literal[1]
    model: ModelInfo
    form: str
    chunk_size: int | None
    """Tokens in a chunk; None for a form without chunks."""
    memory_layer: Annotated[int, Field(ge=0)] | None = None
    """Of a memory's bundle, the layer whose weights it has; None: the bundle is an encoder's."""
    checkpoint: Source
    teacher: Source | None
    files: dict[RelativePath, FileEntry]
    graphs: dict[RelativePath, Graph]
    plans: dict[RelativePath, Plan] = {}
    timing_cache: dict[str, RelativePath] = {}
    """TensorRT's timing cache, by TensorRT version and GPU."""
    max_tokens_tested: int
    """The longest text of the parity run that let this bundle be written."""
    parity: dict[RelativePath, dict[str, float]]
    """The worst figures of that run, for each graph."""
    tools: dict[str, str]
    """Versions of what made the bundle."""

    def to_json(self) -> str:
        """The file's content, in ASCII."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    @staticmethod
    def from_json(content: str, where: str) -> "Manifest":
        """Read a manifest, trusting nothing in it.

        Raises:
            BundleError: it is no JSON, says something twice, is of another format version, or breaks the schema.
        """
        try:
            fields = json.loads(content, object_pairs_hook=_fields_once, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{where} is no valid JSON ({error}); make the bundle again: lam-export onnx") from None
        if not isinstance(fields, dict) or "format_version" not in fields:
            raise BundleError(
                f"expected a bundle's manifest in {where}, found other JSON; make the bundle again: lam-export onnx"
            )
        if fields["format_version"] != FORMAT_VERSION:
            raise BundleError(
                f"expected bundle format {FORMAT_VERSION}, found {reprlib.repr(fields['format_version'])} in {where}; "
                f"make the bundle again with this version: lam-export onnx"
            )
        try:
            manifest = Manifest.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BundleError(
                f"{where}: {place[:120]!r}: {first['msg']}; make the bundle again: lam-export onnx"
            ) from None
        named = {*manifest.graphs, *manifest.plans, *manifest.timing_cache.values()}
        named |= {plan.inspector for plan in manifest.plans.values()}
        if unknown := sorted(named - set(manifest.files)):
            raise BundleError(
                f"{where} names {', '.join(unknown)}, not among its files; make the bundle again: lam-export onnx"
            )
        return manifest


def _fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers do not agree which of two fields of the same name counts, so neither does."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
