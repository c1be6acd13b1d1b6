"""The models of a repository: the tokenizer, and the models that compute in each flavour."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...bundles.bundle import Bundle
from ...bundles.manifest import Graph, OptimizationProfile
from ...contract import INPUT_IDS, TEXT, TOKEN_COUNT, TOKENIZER
from ...contract import MODEL as GRAPH
from ...runtimes.registry import runtime
from ..limits import DEFAULT_MAX_TOKENS
from . import configs
from .configs import Model
from .modules import copied_modules
from .options import ServingOptions

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_WARM_UP_TOKENS = (16, 128)
_WARM_UP_TEXT = "Is anyone there?"


@dataclass(frozen=True)
class NetworkModels:
    """The models from token ids to embeddings."""

    models: list[Model]
    """``lam_core``, and ``lam_model`` if another backend computes."""
    graph: Graph
    """The graph that is run, or that the plan was built from."""
    profiles: Sequence[OptimizationProfile] = ()
    """Profiles of the plan, if one is run."""


def tokenizer_model(bundle: Bundle, options: ServingOptions) -> Model:
    """``lam_tokenizer``: texts to token ids."""
    config = configs.tokenizer_config(bundle.manifest.model, options)
    package = (
        *(f"embedding/{name}.py" for name in ("tokenizer", "tokenizer_file", "texts")),
        "contract.py",
        "errors.py",
    )
    files = copied_modules(*_models("lam_tokenizer", "requests"), *package)
    files[TOKENIZER] = bundle.read(TOKENIZER)
    text = _WARM_UP_TEXT.encode()
    content = np.frombuffer(len(text).to_bytes(4, "little") + text, dtype=np.uint8)
    return config, _in_version(files) | configs.add_warm_up(config, "text", {TEXT: content})


def graph_in_core(bundle: Bundle, options: ServingOptions) -> NetworkModels:
    """``lam_core`` computes a graph itself, in the chosen runtime on the CPU."""
    precision = options.precision or "fp32"
    found = runtime(options.engine).portable(bundle, precision)
    assert found is not None  # noqa: S101  (resolved)
    parameters = {"engine": options.engine, "precision": precision, "threads": options.threads or 0}
    config = configs.core_config(bundle.manifest.model, options, parameters)
    files = _in_version({**_core_modules(*found.modules), GRAPH: bundle.read(found.file), **found.files})
    for tokens in _warm_up_tokens(options):
        ids = np.full(tokens, bundle.manifest.model.pad_token_id, dtype=np.int32)
        given = {INPUT_IDS: ids, TOKEN_COUNT: np.array([tokens], dtype=np.int32)}
        files |= configs.add_warm_up(config, f"{tokens}_tokens", given)
    return NetworkModels([(config, files)], bundle.manifest.graphs[found.file])


def asked_graph(bundle: Bundle, options: ServingOptions) -> NetworkModels:
    """``lam_core`` asks ``lam_model``, which computes a graph in Triton's onnxruntime backend."""
    name = bundle.graph(options.precision or "fp32")
    graph = bundle.manifest.graphs[name]
    config = configs.onnxruntime_config(graph, options)
    shapes = [(1, tokens) for tokens in _warm_up_tokens(options)]
    files = _in_version({GRAPH: bundle.read(name)}) | _warm_up_network(config, shapes)
    return NetworkModels([_asking(bundle, options, {}), (config, files)], graph)


def asked_plan(bundle: Bundle, options: ServingOptions) -> NetworkModels:
    """``lam_core`` asks ``lam_model``, which runs a plan in Triton's tensorrt backend."""
    assert options.plan is not None  # noqa: S101  (resolved)
    plan = bundle.manifest.plans[options.plan]
    graph = bundle.manifest.graphs[plan.graph]
    config = configs.tensorrt_config(graph, options, plan.profiles)
    shapes = sorted({(profile.batch.min, profile.tokens.opt) for profile in plan.profiles})
    files = _in_version({configs.PLAN: bundle.read(options.plan)}) | _warm_up_network(config, shapes)
    core = _asking(bundle, options, {"profiles": configs.profiles_parameter(plan.profiles)})
    return NetworkModels([core, (config, files)], graph, plan.profiles)


def _asking(bundle: Bundle, options: ServingOptions, parameters: Mapping[str, object]) -> Model:
    """``lam_core`` where ``lam_model`` computes."""
    config = configs.core_config(bundle.manifest.model, options, {"network": configs.NETWORK, **parameters})
    return config, _in_version(_core_modules())


def _core_modules(*of_runtime: str) -> dict[str, bytes]:
    others = ("serving/pool.py", "embedding/batching.py", "runtimes/tensorrt/plans.py", "contract.py", "errors.py")
    return copied_modules(*_models("lam_core", "counters", "networks", "requests"), *others, *of_runtime)


def _models(*names: str) -> tuple[str, ...]:
    return tuple(f"serving/triton/models/{name}.py" for name in names)


def _warm_up_network(config: "ModelConfig", shapes: Iterable[tuple[int, int]]) -> dict[str, bytes]:
    """Files of warm-ups, one for each shape (texts, tokens)."""
    files: dict[str, bytes] = {}
    for batch, tokens in shapes:
        given = {tensor.name: np.ones(tokens, dtype=np.int64) for tensor in config.input}
        files |= configs.add_warm_up(config, f"{batch}x{tokens}_tokens", given, batch)
    return files


def _warm_up_tokens(options: ServingOptions) -> list[int]:
    longest = options.max_tokens or DEFAULT_MAX_TOKENS
    return [tokens for tokens in _WARM_UP_TOKENS if tokens <= longest] or [longest]


def _in_version(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files in the folder of the model's version 1."""
    return {f"1/{name}": content for name, content in files.items()}
