"""The schema of ``manifest.json``, which describes a bundle."""

import json
import reprlib
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import BundleError

FORMAT_VERSION = 1


def is_plain_relative(name: str) -> bool:
    """Whether a name is a path below the folder that every reader spells the same way."""
    path = PurePosixPath(name)
    # isprintable: messages show names on one line.
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
    """The SHA-256 hash of the file's content, in lower-case hexadecimal."""
    bytes: Annotated[int, Field(ge=0)]
    """The file's size in bytes."""


class Source(_Strict):
    """A file that the bundle was made from."""

    file: str
    """The file's name, without its folder."""
    sha256: Sha256
    """The SHA-256 hash of the file's content, in lower-case hexadecimal."""


class TensorSpec(_Strict):
    """An input or output of a graph."""

    name: str
    """The tensor's name in the graph."""
    dtype: str
    """The tensor's element type as NumPy names it, such as ``int64``."""
    shape: tuple[int | str, ...]
    """The tensor's dimensions. A fixed one is a number, and a dynamic one is its name, such as ``batch``."""


class Graph(_Strict):
    """One ONNX file of the bundle."""

    precision: Precision
    """The precision of the graph's weights."""
    opset: int
    """The opset of the standard ONNX operators."""
    inlined: bool
    """Whether local functions were replaced by the standard operators that they consist of."""
    inputs: tuple[TensorSpec, ...]
    """The inputs that must be given. Inputs with a default value are left out."""
    outputs: tuple[TensorSpec, ...]
    """The outputs."""


class Range(_Strict):
    """One dimension of an optimization profile."""

    min: Annotated[int, Field(ge=1)]
    """The smallest size that the plan takes."""
    opt: int
    """The size that the plan's kernels were chosen for."""
    max: int
    """The largest size that the plan takes."""

    @model_validator(mode="after")
    def _is_ordered(self) -> "Range":
        if not self.min <= self.opt <= self.max:
            raise ValueError("must be min <= opt <= max")
        return self


class OptimizationProfile(_Strict):
    """A TensorRT optimization profile: a range of shapes ``[batch, tokens]``."""

    batch: Range
    """The number of texts in a batch; of memories, in a memory's bundle."""
    tokens: Range
    """The number of tokens of each text, padding included; of queries of each memory, in a memory's bundle."""

    def __str__(self) -> str:
        """The profile as ``lam-export trt --profile`` takes it, such as ``1x1,1x32,64x64``."""
        batch, tokens = self.batch, self.tokens
        return f"{batch.min}x{tokens.min},{batch.opt}x{tokens.opt},{batch.max}x{tokens.max}"


class Plan(_Strict):
    """A serialised engine of TensorRT or of TensorRT for RTX. Only the version that built it can load it.

    A plan of TensorRT runs only on the GPU model that it was built on, a plan of TensorRT for RTX on every GPU of its
    compute capabilities.
    """

    graph: RelativePath
    """The file of the graph that the plan was built from."""
    graph_sha256: Sha256
    """The hash that the graph had when the plan was built."""
    precision: Precision
    """The precision of the graph that the plan was built from."""
    plugin: bool
    """Whether the fused operator runs as the plugin's kernel. If false, it runs as TensorRT's own layers."""
    library: Annotated[str, Field(pattern="^[a-z][a-z-]*$")]
    """The runtime that built the plan and loads it: ``tensorrt`` or ``tensorrt-rtx``."""
    version: str
    """The library's full version, such as ``10.9.0.34``."""
    compute_capabilities: Annotated[tuple[Annotated[str, Field(pattern=r"^\d+\.\d+$")], ...], Field(min_length=1)]
    """The compute capabilities of the GPUs that the plan is for, such as ``9.0``."""
    gpu: str | None
    """The name of the GPU that built the plan, as its driver gives it. It is null if no GPU was needed."""
    driver: str | None
    """The driver's release on the machine that built the plan. It is null if no GPU was needed."""
    profiles: Annotated[tuple[OptimizationProfile, ...], Field(min_length=1)]
    """The shapes that the plan takes."""
    tactics: dict[str, str]
    """The kernel variant that TensorRT chose for each fused node. It is empty without the plugin."""
    inspector: RelativePath | None
    """The file with the engine inspector's JSON. It is null if no GPU was there to inspect the plan with."""

    def __str__(self) -> str:
        """What the plan runs on, such as ``tensorrt 10.9.0.34, fp16, compute capability 9.0``."""
        capabilities = ", ".join(self.compute_capabilities)
        return f"{self.library} {self.version}, {self.precision}, compute capability {capabilities}"


class ModelInfo(_Strict):
    """The encoder's sizes and constants."""

    hidden_size: Annotated[int, Field(gt=0)]
    """The number of elements in an embedding."""
    num_hidden_layers: int
    """The number of layers."""
    num_attention_heads: Annotated[int, Field(gt=0)]
    """The number of heads in each layer."""
    intermediate_size: int
    """The inner width of the feed-forward part."""
    vocab_size: Annotated[int, Field(gt=0)]
    """The number of tokens in the vocabulary."""
    type_vocab_size: int
    """The number of rows in the token type table. Only the first is used."""
    position_rows: int
    """The number of rows in the position table. It does not limit the length of a text."""
    layer_norm_eps: float
    """The epsilon of every LayerNorm."""
    pad_token_id: Annotated[int, Field(ge=0)]
    """The token that fills shorter texts in a batch."""
    ffn_activation_passes: int
    """The number of times that GELU is applied in the feed-forward part."""
    blend: tuple[float, float]
    """The weights of the flat form's fast and slow path."""
    cross_coupling: bool = True
    """Whether the recurrent form's two states are mixed at the end of a chunk."""
    final_norm: Literal["chunk", "end"] = "chunk"
    """When the recurrent form's states are scaled to unit length: after every chunk, or only at the end."""
    readout_norm: bool = True
    """Whether the recurrent form's states are scaled to unit length before they are read."""
    surprise_threshold: float | None = None
    """The flux above which the recurrent form's slow state takes up a chunk. If null, it takes up every chunk."""

    @model_validator(mode="after")
    def _pad_is_a_token(self) -> "ModelInfo":
        if self.pad_token_id >= self.vocab_size:
            raise ValueError(f"pad_token_id must be below vocab_size ({self.vocab_size})")
        return self


class Manifest(_Strict):
    """The content of ``manifest.json``. ``SHA256SUMS`` holds its hash, and those of the files that it lists."""

    format_version: Literal[1]
    """The version of the bundle format."""
    model: ModelInfo
    """The model's sizes and constants."""
    form: str
    """The form of the delta rule: ``flat``, ``recurrent`` or ``parallel``; ``memory`` in a memory's bundle."""
    chunk_size: int | None
    """The number of tokens in a chunk. It is null in a form without chunks."""
    memory_layer: Annotated[int, Field(ge=0)] | None = None
    """The layer whose weights a memory has, counted from 0. It is null in an encoder's bundle."""
    checkpoint: Source
    """The checkpoint that the bundle was made from."""
    teacher: Source | None
    """The teacher's file that the bundle was made from. It is null if no teacher was named."""
    files: dict[RelativePath, FileEntry]
    """The bundle's files, by their paths inside the bundle."""
    graphs: dict[RelativePath, Graph]
    """The ONNX graphs among the files."""
    plans: dict[RelativePath, Plan] = {}
    """The plans of TensorRT and of TensorRT for RTX among the files."""
    timing_cache: dict[str, RelativePath] = {}
    """The file of TensorRT's timing cache for each TensorRT version and GPU."""
    max_tokens_tested: int
    """The length of the longest text that the export compared with the reference."""
    parity: dict[RelativePath, dict[str, float]]
    """The worst differences from the reference that the export found in each graph."""
    tools: dict[str, str]
    """The versions of the tools that made the bundle."""

    def to_json(self) -> str:
        """The file's content, in ASCII."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    @staticmethod
    def from_json(content: str, where: str) -> "Manifest":
        """Read a manifest, trusting nothing in it.

        Raises:
            BundleError: it is not JSON, a field is repeated, its format version is unknown, or it breaks the schema.
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
        named |= {plan.inspector for plan in manifest.plans.values() if plan.inspector is not None}
        if unknown := sorted(named - set(manifest.files)):
            raise BundleError(
                f"{where} names {', '.join(unknown)}, not among its files; make the bundle again: lam-export onnx"
            )
        return manifest


def _fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields, each once. Readers disagree about which of two equal names counts, so a repeated name is refused."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
