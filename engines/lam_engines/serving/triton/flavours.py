"""What a repository's models are, in each flavour."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...bundles.bundle import Bundle
from ...bundles.manifest import Graph, OptimizationProfile, Plan
from ...contract import PLAN_PRECISIONS
from ...contract import TOKENIZER as TOKENIZER_FILE
from ...errors import BundleError, InputError
from ...runtimes.tensorrt.plans import build_command, max_tokens
from . import configs
from .check import Expected
from .modules import copied_modules
from .options import DEFAULT_MAX_TOKENS, ServingOptions

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

Model = tuple["ModelConfig", Mapping[str, bytes]]
"""A model's configuration, and its files: name in the model's folder to content."""
_WARM_UP_TOKENS = (16, 128)
_WARM_UP_TEXT = "Is anyone there?"


def resolve(bundle: Bundle, options: ServingOptions) -> ServingOptions:
    """The options with everything filled in that the bundle decides: precision, plan, longest text.

    Raises:
        BundleError: the bundle has no graph or plan for the flavour.
        InputError: texts are to be taken that are longer than those that the plan takes.
    """
    if options.flavour != "tensorrt":
        precision = options.precision or "fp32"
        bundle.graph(precision)
        return replace(options, precision=precision, max_tokens=options.max_tokens or DEFAULT_MAX_TOKENS)
    name = options.plan or _only_plan(bundle, options.precision or PLAN_PRECISIONS[0])
    plan = _plan(bundle, name)
    longest = max_tokens(plan)
    if (options.max_tokens or 0) > longest:
        raise InputError(
            f"expected max_tokens of at most {longest:,}, the longest that {name} takes, found {options.max_tokens:,}; "
            f"build a plan for longer texts: {build_command(bundle, plan.precision)} --max-tokens {options.max_tokens}"
        )
    tokens = options.max_tokens or min(DEFAULT_MAX_TOKENS, longest)
    return replace(options, precision=plan.precision, plan=name, max_tokens=tokens)


def models_of(bundle: Bundle, options: ServingOptions) -> tuple[list[Model], Expected]:
    """The models of a repository, and what they must agree with.

    Args:
        bundle: an open bundle.
        options: from :func:`resolve`.

    Raises:
        BundleError: a file of the bundle is missing or altered.
    """
    make = {"python": _python, "onnxruntime": _onnxruntime, "tensorrt": _tensorrt}[options.flavour]
    model = bundle.manifest.model
    network, graph, profiles = make(bundle, options)
    ensemble: Model = configs.ensemble_config(model, options), {}
    return [_tokenizer(bundle, options), *network, ensemble], Expected(model.hidden_size, graph, profiles)


def _tokenizer(bundle: Bundle, options: ServingOptions) -> Model:
    config = configs.tokenizer_config(bundle.manifest.model, options)
    files = copied_modules(*_models("lam_tokenizer", "requests"), "embedding/tokenizer.py", "errors.py")
    files["tokenizer.json"] = bundle.read(TOKENIZER_FILE)
    text = _WARM_UP_TEXT.encode()
    content = np.frombuffer(len(text).to_bytes(4, "little") + text, dtype=np.uint8)
    return config, _in_version(files) | configs.add_warm_up(config, "text", {"text": content})


_Network = tuple[list[Model], Graph, Sequence[OptimizationProfile]]
"""``lam_core`` and the model that it asks, if it does; what is run, or what the plan was built from; its profiles."""


def _python(bundle: Bundle, options: ServingOptions) -> _Network:
    name = bundle.graph(options.precision or "fp32")
    network = {"network": "onnxruntime", "threads": options.threads or 0}
    config = configs.core_config(bundle.manifest.model, options, network)
    files = _in_version({**_core_modules(), "model.onnx": bundle.read(name)})
    for tokens in _warm_up_tokens(options):
        ids = np.full(tokens, bundle.manifest.model.pad_token_id, dtype=np.int32)
        given = {"input_ids": ids, "token_count": np.array([tokens], dtype=np.int32)}
        files |= configs.add_warm_up(config, f"{tokens}_tokens", given)
    return [(config, files)], bundle.manifest.graphs[name], ()


def _onnxruntime(bundle: Bundle, options: ServingOptions) -> _Network:
    name = bundle.graph(options.precision or "fp32")
    graph = bundle.manifest.graphs[name]
    config = configs.onnxruntime_config(graph, options)
    files = _in_version({"model.onnx": bundle.read(name)}) | _warm_up_network(
        config, [(1, tokens) for tokens in _warm_up_tokens(options)]
    )
    return [_asking(bundle, options, {}), (config, files)], graph, ()


def _tensorrt(bundle: Bundle, options: ServingOptions) -> _Network:
    name = options.plan or _only_plan(bundle, options.precision or PLAN_PRECISIONS[0])
    plan = bundle.manifest.plans[name]
    graph = bundle.manifest.graphs[plan.graph]
    config = configs.tensorrt_config(graph, options, plan.profiles)
    files = _in_version({"model.plan": bundle.read(name)})
    shapes = {(profile.batch.min, profile.tokens.opt) for profile in plan.profiles}
    files |= _warm_up_network(config, sorted(shapes))
    core = _asking(bundle, options, {"profiles": configs.profiles_parameter(plan.profiles)})
    return [core, (config, files)], graph, plan.profiles


def _plan(bundle: Bundle, name: str) -> Plan:
    """A plan that was built from a graph that the bundle has.

    For which GPU and TensorRT it is, is for the user to know: the server may run on another machine.
    """
    plans = bundle.manifest.plans
    if name not in plans:
        there = ", ".join(plans) or "none"
        raise BundleError(f"expected the plan {name} in {bundle.path}, it has {there}; name one that is there: --plan")
    graph = bundle.manifest.files.get(plans[name].graph)
    if graph is None or graph.sha256 != plans[name].graph_sha256:
        raise BundleError(
            f"expected {name} to be built from the {plans[name].graph} of {bundle.path}, found it built from another; "
            f"build it again: {build_command(bundle, plans[name].precision)}"
        )
    return plans[name]


def _only_plan(bundle: Bundle, precision: str) -> str:
    fitting = [name for name, plan in bundle.manifest.plans.items() if plan.precision == precision]
    if not fitting:
        raise BundleError(
            f"expected a plan of precision {precision} in {bundle.path}, found none; build one on the machine that is "
            f"to serve: {build_command(bundle, precision)}"
        )
    if len(fitting) > 1:
        raise BundleError(
            f"expected one plan of precision {precision} in {bundle.path}, found {', '.join(fitting)}; name the one to "
            f"serve: --plan {fitting[-1]}"
        )
    return fitting[0]


def _asking(bundle: Bundle, options: ServingOptions, parameters: Mapping[str, object]) -> Model:
    """``lam_core`` where ``lam_model`` computes."""
    config = configs.core_config(bundle.manifest.model, options, {"network": configs.NETWORK, **parameters})
    return config, _in_version(_core_modules())


def _core_modules() -> dict[str, bytes]:
    others = ("serving/pool.py", "embedding/batching.py", "runtimes/tensorrt/plans.py", "errors.py")
    return copied_modules(*_models("lam_core", "counters", "networks", "requests"), *others)


def _models(*names: str) -> tuple[str, ...]:
    return tuple(f"serving/triton/models/{name}.py" for name in names)


def _warm_up_network(config: "ModelConfig", shapes: Iterable[tuple[int, int]]) -> dict[str, bytes]:
    """Files of warm-ups with batches of so many texts and tokens."""
    files: dict[str, bytes] = {}
    for batch, tokens in shapes:
        given = {tensor.name: np.ones(tokens, dtype=np.int64) for tensor in config.input}
        files |= configs.add_warm_up(config, f"{batch}x{tokens}_tokens", given, batch)
    return files


def _warm_up_tokens(options: ServingOptions) -> list[int]:
    longest = options.max_tokens or DEFAULT_MAX_TOKENS
    return [tokens for tokens in _WARM_UP_TOKENS if tokens <= longest] or [longest]


def _in_version(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"1/{name}": content for name, content in files.items()}
