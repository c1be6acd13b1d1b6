"""What a bundle says of itself: the schema of ``manifest.json``."""

import hashlib
import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .errors import BundleError

FORMAT_VERSION = 1


def _relative(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or str(path) != name or name == ".":
        raise ValueError("must be a plain relative path inside the bundle")
    return name


RelativePath = Annotated[str, AfterValidator(_relative)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


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

    precision: Literal["fp32"]
    opset: int
    inlined: bool
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class ModelInfo(_Strict):
    """The encoder's sizes and constants."""

    hidden_size: Annotated[int, Field(gt=0)]
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: Annotated[int, Field(gt=0)]
    type_vocab_size: int
    position_rows: int
    layer_norm_eps: float
    pad_token_id: Annotated[int, Field(ge=0)]
    ffn_activation_passes: int
    blend: tuple[float, float]


class Manifest(_Strict):
    """``manifest.json``. Its own ``sha256`` is over the canonical JSON of all other fields."""

    format_version: Literal[1]
    model: ModelInfo
    form: str
    chunk_size: int
    checkpoint: Source
    teacher: Source | None
    files: dict[RelativePath, FileEntry]
    graphs: dict[RelativePath, Graph]
    max_tokens_tested: int
    """The longest text of the parity run that let this bundle be written."""
    parity: dict[str, float]
    """The worst figures of that run."""
    tools: dict[str, str]
    """Versions of what made the bundle."""

    def to_json(self) -> str:
        """The file's content, with its digest."""
        fields = self.model_dump(mode="json")
        return json.dumps({**fields, "sha256": _digest(fields)}, indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(content: str, where: str) -> "Manifest":
        """Read a manifest, trusting nothing in it.

        Raises:
            BundleError: it is no JSON, of another format version, altered, or breaks the schema.
        """
        try:
            fields = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{where} is no valid JSON ({error}); make the bundle again: lam-export onnx") from None
        if not isinstance(fields, dict) or "format_version" not in fields:
            raise BundleError(
                f"expected a bundle's manifest in {where}, found other JSON; is this a lam-export bundle?"
            )
        if fields["format_version"] != FORMAT_VERSION:
            raise BundleError(
                f"expected bundle format {FORMAT_VERSION}, found {fields['format_version']!r} in {where}; "
                f"make the bundle again with this version: lam-export onnx"
            )
        expected = fields.pop("sha256", None)
        if expected != _digest(fields):
            raise BundleError(
                f"{where} was altered or damaged (its own sha256 differs); make it again: lam-export onnx"
            )
        try:
            manifest = Manifest.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BundleError(f"{where}: {place}: {first['msg']}; make the bundle again: lam-export onnx") from None
        if unknown := sorted(set(manifest.graphs) - set(manifest.files)):
            raise BundleError(f"{where}: graphs {', '.join(unknown)} are not among its files")
        return manifest


def _digest(fields: dict[str, Any]) -> str:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
