"""The flavours: the ways to compute the network in Triton. A new one is one more entry of :data:`FLAVOURS`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...bundles.bundle import Bundle
from ...bundles.manifest import Plan
from ...contract import PLAN_PRECISIONS
from ...errors import BundleError, InputError
from ...runtimes.portable import Portable
from ...runtimes.registry import AUTO, REFERENCE, choose, runtime
from ...runtimes.tensorrt.library import TENSORRT
from ...runtimes.tensorrt.plans import build_command, max_tokens, plans_of
from ..limits import DEFAULT_MAX_TOKENS
from . import configs
from .check import Expected
from .network_models import NetworkModels, asked_graph, asked_plan, graph_in_core, tokenizer_model
from .options import ServingOptions
from .wheel import pinned_version


def _choose_engine(bundle: Bundle, options: ServingOptions) -> ServingOptions:
    _refuse_plan(options)
    precision = options.precision or "fp32"
    chosen = choose(options.engine, bundle, precision, "cpu").runtime
    if precision not in chosen.precisions:
        raise InputError(
            f"expected precision {' or '.join(chosen.precisions)} with the engine {chosen.name}, found {precision}"
        )
    if problem := _cannot_travel(chosen.portable(bundle, precision)):
        if options.engine != AUTO:
            raise InputError(f"expected an engine for Triton's Python models, found {chosen.name}: {problem}")
        chosen = runtime(REFERENCE)
        chosen.file_of(bundle, precision)
    tokens = options.max_tokens or DEFAULT_MAX_TOKENS
    return replace(options, engine=chosen.name, precision=precision, max_tokens=tokens)


def _cannot_travel(found: Portable | None) -> str:
    """Why a runtime cannot compute in Triton's processes; empty if it can."""
    if found is None:
        return "it does not run there; take onnxruntime or openvino"
    for package, version in found.packages.items():
        if version and version != (pinned := pinned_version(package)):
            return f"it needs {package} {version}, and Triton's processes have {pinned}; take onnxruntime"
    return ""


def _choose_graph(bundle: Bundle, options: ServingOptions) -> ServingOptions:
    _refuse_plan(options)
    _refuse_engine(options)
    precision = options.precision or "fp32"
    bundle.graph(precision)
    return replace(options, precision=precision, max_tokens=options.max_tokens or DEFAULT_MAX_TOKENS)


def _refuse_plan(options: ServingOptions) -> None:
    if options.plan is not None:
        raise InputError(
            f"expected a plan with the flavour tensorrt only, found {options.plan} with {options.flavour}; leave it out"
        )


def _refuse_engine(options: ServingOptions) -> None:
    if options.engine != AUTO:
        raise InputError(
            f"expected an engine with the flavour python only, found {options.engine} with {options.flavour}; leave it "
            f"out"
        )


def _choose_plan(bundle: Bundle, options: ServingOptions) -> ServingOptions:
    _refuse_engine(options)
    name = options.plan or _only_plan(bundle, options.precision or PLAN_PRECISIONS[0])
    plan = _plan(bundle, name)
    longest = max_tokens(plan)
    if (options.max_tokens or 0) > longest:
        raise InputError(
            f"expected max_tokens of at most {longest:,}, the longest that {name} takes, found {options.max_tokens:,}; "
            f"build a plan for longer texts: {build_command(bundle, plan.precision, TENSORRT)} "
            f"--max-tokens {options.max_tokens}"
        )
    tokens = options.max_tokens or min(DEFAULT_MAX_TOKENS, longest)
    return replace(options, precision=plan.precision, plan=name, max_tokens=tokens)


@dataclass(frozen=True)
class Flavour:
    """A way to compute the network in Triton."""

    name: str
    backend: str
    """Triton's backend that computes. The server must have it."""
    devices: tuple[str, ...]
    """Devices that it runs on. The first is the default."""
    packages: tuple[str, ...]
    """Packages that its Python models import, besides an engine's."""
    choose: Callable[[Bundle, ServingOptions], ServingOptions]
    """Fills in precision, plan and longest text, and refuses what the bundle lacks."""
    network: Callable[[Bundle, ServingOptions], NetworkModels]
    """Makes the models from token ids to embeddings, with resolved options."""


FLAVOURS = {
    flavour.name: flavour
    for flavour in (
        Flavour(
            name="python",
            backend="python",
            devices=("cpu",),
            packages=("numpy", "tokenizers"),
            choose=_choose_engine,
            network=graph_in_core,
        ),
        Flavour(
            name="onnxruntime",
            backend="onnxruntime",
            devices=("cpu", "cuda"),
            packages=("numpy", "tokenizers"),
            choose=_choose_graph,
            network=asked_graph,
        ),
        Flavour(
            name="tensorrt",
            backend="tensorrt",
            devices=("cuda",),
            packages=("numpy", "tokenizers"),
            choose=_choose_plan,
            network=asked_plan,
        ),
    )
}


def flavour_of(options: ServingOptions) -> Flavour:
    """The flavour that the options name.

    Raises:
        InputError: there is no such flavour.
    """
    if options.flavour not in FLAVOURS:
        *names, last = FLAVOURS
        raise InputError(f"expected flavour {', '.join(names)} or {last}, found {options.flavour!r}")
    return FLAVOURS[options.flavour]


def resolve(bundle: Bundle, options: ServingOptions) -> ServingOptions:
    """The options with device, precision, plan and longest text filled in.

    Raises:
        BundleError: the bundle has no graph or plan for the flavour.
        InputError: there is no such flavour, it does not run on the device or takes no plan, or ``max_tokens`` is more
            than the plan takes.
    """
    flavour = flavour_of(options)
    device = options.device or flavour.devices[0]
    if device not in flavour.devices:
        raise InputError(
            f"expected device {' or '.join(flavour.devices)} with the flavour {flavour.name}, found {device}; leave it "
            f"out"
        )
    return flavour.choose(bundle, replace(options, device=device))


def packages_of(bundle: Bundle, options: ServingOptions) -> tuple[str, ...]:
    """Packages that the Python models of a repository import. The options are from :func:`resolve`."""
    flavour = flavour_of(options)
    if options.engine == AUTO:
        return flavour.packages
    found = runtime(options.engine).portable(bundle, options.precision or "fp32")
    return (*flavour.packages, *(found.packages if found else ()))


def models_of(bundle: Bundle, options: ServingOptions) -> tuple[list[configs.Model], Expected]:
    """The models of a repository, and what they must agree with.

    Args:
        bundle: an open bundle.
        options: from :func:`resolve`.

    Raises:
        BundleError: a file of the bundle is missing or altered.
    """
    model = bundle.manifest.model
    network = flavour_of(options).network(bundle, options)
    ensemble: configs.Model = configs.ensemble_config(model, options), {}
    models = [tokenizer_model(bundle, options), *network.models, ensemble]
    return models, Expected(model.hidden_size, network.graph, network.profiles)


def _plan(bundle: Bundle, name: str) -> Plan:
    """A plan that was built from a graph of the bundle.

    Its GPU and version of TensorRT are not checked: the server may run on another machine.
    """
    plans = plans_of(bundle, TENSORRT)
    if name not in plans:
        there = ", ".join(plans) or "none"
        raise BundleError(f"expected the plan {name} in {bundle.path}, it has {there}; name one that is there: --plan")
    graph = bundle.manifest.files.get(plans[name].graph)
    if graph is None or graph.sha256 != plans[name].graph_sha256:
        raise BundleError(
            f"expected {name} to be built from the {plans[name].graph} of {bundle.path}, found it built from another; "
            f"build it again: {build_command(bundle, plans[name].precision, TENSORRT)}"
        )
    return plans[name]


def _only_plan(bundle: Bundle, precision: str) -> str:
    fitting = [name for name, plan in plans_of(bundle, TENSORRT).items() if plan.precision == precision]
    if not fitting:
        raise BundleError(
            f"expected a plan of precision {precision} in {bundle.path}, found none; build one on the machine that is "
            f"to serve: {build_command(bundle, precision, TENSORRT)}"
        )
    if len(fitting) > 1:
        raise BundleError(
            f"expected one plan of precision {precision} in {bundle.path}, found {', '.join(fitting)}; name the one to "
            f"serve: --plan {fitting[-1]}"
        )
    return fitting[0]
