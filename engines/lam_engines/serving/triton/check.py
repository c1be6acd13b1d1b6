"""Checks that a repository's models fit together. Parsing a ``config.pbtxt`` checks only its syntax."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...bundles.manifest import Graph, OptimizationProfile
from ...contract import MODEL, SENTENCE_EMBEDDING
from ...errors import BundleError
from .configs import CORE, NETWORK, PLAN, TOKENIZER, TYPES, dims_of, fits

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput


@dataclass(frozen=True)
class Expected:
    """Facts of the bundle that a repository must agree with."""

    hidden_size: int
    graph: Graph
    """The graph that is run, or that the plan was built from."""
    profiles: Sequence[OptimizationProfile] = ()
    """Profiles of the plan, if one is served."""


_FILES = {"python": "model.py", "onnxruntime": MODEL, "tensorrt": PLAN}
"""Triton's default names of a model's file, by backend."""
_BYTES = {"TYPE_INT32": 4, "TYPE_INT64": 8}


def check_repository(folder: Path, expected: Expected) -> None:
    """Check that a repository is complete and agrees with its bundle.

    Every model must have its file and its warm-up data. Preferred batch sizes must be within ``max_batch_size``. Every
    input of the ensemble's steps must come from an earlier step, in the right type and shape. ``lam_model`` must have
    the inputs, outputs and profiles of the bundle's manifest.

    Args:
        folder: the repository.
        expected: of the bundle.

    Raises:
        BundleError: the message names the model and its first problem.
    """
    for problem in problems(folder, expected):
        raise BundleError(
            f"the repository {folder} does not hang together: {problem}; write it again: lam-export triton"
        )


def problems(folder: Path, expected: Expected) -> Iterator[str]:
    """All problems of a repository; see :func:`check_repository`."""
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    configs: dict[str, ModelConfig] = {}
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            content = (place / "config.pbtxt").read_text(encoding="utf-8")
            configs[place.name] = text_format.Parse(content, ModelConfig())
        except (OSError, ValueError, text_format.ParseError) as error:
            yield f"{place.name}: config.pbtxt cannot be read ({' '.join(str(error).split())})"
            return
    for name, config in configs.items():
        wrong = [*_model_problems(name, config), *_file_problems(folder / name, config)]
        if config.platform == "ensemble":
            wrong += _ensemble_problems(config, configs)
        if NETWORK in (name, config.parameters["network"].string_value):
            wrong += _network_problems(name, config, configs, expected)
        for tensor in config.output:
            if tensor.name == SENTENCE_EMBEDDING and list(tensor.dims) != [expected.hidden_size]:
                wrong.append(f"{SENTENCE_EMBEDDING} has dims {list(tensor.dims)}, not [{expected.hidden_size}]")
        yield from (f"{name}: {problem}" for problem in wrong)
    if expected.profiles and TOKENIZER in configs:
        longest = max(profile.tokens.max for profile in expected.profiles)
        if int(configs[TOKENIZER].parameters["max_tokens"].string_value) > longest:
            yield f"{TOKENIZER}: max_tokens is above {longest}, the longest text that the plan takes"


def _model_problems(name: str, config: "ModelConfig") -> Iterator[str]:
    if config.name != name:
        yield f"is called {config.name!r}, unlike its folder"
    for kind, tensors in (("input", config.input), ("output", config.output)):
        if not tensors:
            yield f"has no {kind}"
        if len({tensor.name for tensor in tensors}) != len(tensors):
            yield f"has two {kind}s of one name"
        for tensor in tensors:
            if not tensor.dims or any(size != -1 and size < 1 for size in tensor.dims):
                yield f"{kind} {tensor.name} has dims {list(tensor.dims)}"
    if over := [size for size in config.dynamic_batching.preferred_batch_size if size > config.max_batch_size]:
        yield f"preferred batch sizes {over} are above max_batch_size {config.max_batch_size}"
    if any(tensor.allow_ragged_batch for tensor in config.input) and not config.HasField("dynamic_batching"):
        yield "takes ragged batches and has no dynamic batching"


def _file_problems(folder: Path, config: "ModelConfig") -> Iterator[str]:
    file = config.default_model_filename or _FILES.get(config.backend)
    if config.platform != "ensemble" and (file is None or not (folder / "1" / file).is_file()):
        yield f"has no file 1/{file}"
    types = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in config.input}
    for warmup in config.model_warmup:
        if set(warmup.inputs) != set(types):
            yield f"warm-up {warmup.name} gives {_names(warmup.inputs)}, not {_names(types)}"
            continue
        if warmup.batch_size > config.max_batch_size:
            yield f"warm-up {warmup.name} has a batch above max_batch_size"
        for name, given in warmup.inputs.items():
            data_type, dims = types[name]
            data = folder / "warmup" / given.input_data_file
            if given.data_type != data_type or not _match(given.dims, dims):
                yield f"warm-up {warmup.name} gives {name} in another type or shape"
            elif not data.is_file():
                yield f"warm-up {warmup.name} has no file {data.name}"
            elif (size := _size(given)) is not None and data.stat().st_size != size:
                yield f"warm-up {warmup.name} has {data.stat().st_size} bytes for {name}, not {size}"


def _size(given: Any) -> int | None:
    """Bytes of a warm-up's input; None for texts, whose size is free."""
    size = _BYTES.get(_type(given))
    return None if size is None else prod(given.dims) * size


def _ensemble_problems(config: "ModelConfig", configs: "Mapping[str, ModelConfig]") -> Iterator[str]:
    made: dict[str, ModelInput | ModelOutput] = {tensor.name: tensor for tensor in config.input}
    used: set[str] = set()
    for step in config.ensemble_scheduling.step:
        model = configs.get(step.model_name)
        if model is None:
            yield f"has a step {step.model_name}, which is no model of the repository"
            continue
        if model.max_batch_size < config.max_batch_size:
            yield f"max_batch_size {config.max_batch_size} is above that of {step.model_name}, {model.max_batch_size}"
        inputs, outputs = ({tensor.name: tensor for tensor in side} for side in (model.input, model.output))
        if set(step.input_map) != set(inputs):
            yield f"gives {step.model_name} {_names(step.input_map)}, which takes {_names(inputs)}"
        if unknown := set(step.output_map) - set(outputs):
            yield f"takes {_names(unknown)} from {step.model_name}, which gives {_names(outputs)}"
        for name in set(step.input_map) & set(inputs):
            source = step.input_map[name]
            used.add(source)
            if source not in made:
                yield f"gives {step.model_name} {source}, which nothing before it makes"
            elif not _same(made[source], inputs[name]):
                yield f"gives {step.model_name} {source} for {name} in another type or shape"
        for name in set(step.output_map) & set(outputs):
            if step.output_map[name] in made:
                yield f"makes {step.output_map[name]} twice"
            made[step.output_map[name]] = outputs[name]
    for tensor in config.input:
        if tensor.name not in used:
            yield f"makes no use of its input {tensor.name}"
    for tensor in config.output:
        if tensor.name not in made:
            yield f"has an output {tensor.name}, which no step makes"
        elif not _same(made[tensor.name], tensor):
            yield f"has an output {tensor.name} of another type or shape than the step that makes it"


def _network_problems(
    name: str, config: "ModelConfig", configs: "Mapping[str, ModelConfig]", expected: Expected
) -> Iterator[str]:
    if name == CORE:
        if NETWORK not in configs:
            yield f"asks {NETWORK}, which is no model of the repository"
        return
    graph = expected.graph
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.outputs)}
    tensors = {tensor.name: tensor for tensor in (*config.input, *config.output)}
    if set(specs) != set(tensors):
        yield f"has {_names(tensors)}, and the graph {_names(specs)}"
    for tensor in (tensors[name] for name in specs if name in tensors):
        spec = specs[tensor.name]
        if _type(tensor) != TYPES.get(spec.dtype) or list(tensor.dims) != dims_of(spec):
            yield f"{tensor.name} is not {spec.dtype} {dims_of(spec)} as in the graph"
    if expected.profiles:
        yield from _profile_problems(config, expected.profiles)


def _profile_problems(config: "ModelConfig", profiles: Sequence[OptimizationProfile]) -> Iterator[str]:
    largest = max(profile.batch.max for profile in profiles)
    if config.max_batch_size > largest:
        yield f"max_batch_size {config.max_batch_size} is above {largest}, the largest batch that the plan takes"
    for group in config.instance_group:
        if unknown := [index for index in group.profile if index not in map(str, range(len(profiles)))]:
            yield f"names the profiles {_names(unknown)}, of which the plan has {len(profiles)}"
    for spec in config.optimization.cuda.graph_spec:
        shapes = {tuple(shape.dim) for shape in spec.input.values()}
        if set(spec.input) != {tensor.name for tensor in config.input} or len(shapes) != 1:
            yield "has a CUDA graph that is not of one shape for all inputs"
        elif not any(fits(profile, spec.batch_size, *shape) for profile in profiles for shape in shapes):
            yield f"has a CUDA graph of {spec.batch_size} x {shapes.pop()[0]} tokens, which no profile takes"


def _type(tensor: Any) -> str:
    from tritonclient.grpc.model_config_pb2 import DataType

    return str(DataType.Name(tensor.data_type))


def _same(one: Any, other: Any) -> bool:
    return one.data_type == other.data_type and _match(one.dims, other.dims)


def _match(one: Sequence[int], other: Sequence[int]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
