"""A model repository for a memory. Each sequence of requests has a memory of its own."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...bundles.bundle import Bundle
from ...bundles.manifest import Graph, ModelInfo
from ...contract import MEMORY_MODEL
from ...errors import BundleError, InputError
from ...memories.state import INPUTS, OUTPUTS, PAST, PRESENT
from .check import Expected
from .configs import TYPES, dims_of
from .modules import copied_modules
from .repository import put_repository, record_of, require_client

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

MODEL = "lam_memory"
_MOST_SECONDS = 10**9


@dataclass(frozen=True)
class MemoryServing:
    """How a memory's bundle is to be served."""

    flavour: str = "python"
    """What computes, and what keeps the states: ``python`` is ONNX Runtime in the Python backend, and the model keeps
    its states; ``onnxruntime`` is Triton's backend of that name, and Triton keeps the states (implicit state)."""
    device: str = "cpu"
    """``cpu``, or ``cuda`` with the flavour onnxruntime."""
    max_batch: int = 64
    """Memories that are computed at once."""
    max_memories: int = 1024
    """Memories that an instance keeps at once. The first request of one more waits until another memory ends."""
    idle_timeout: float = 600.0
    """Seconds without a request after which a memory is forgotten."""
    instances: int = 1
    """Processes or sessions that compute at the same time."""
    threads: int = 1
    """Threads of each instance on a CPU."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: a value is out of range, or the flavour does not exist or does not run on the device.
        """
        if self.flavour not in _FLAVOURS:
            raise InputError(f"expected flavour {' or '.join(_FLAVOURS)} for a memory, found {self.flavour!r}")
        if self.device not in (devices := _FLAVOURS[self.flavour].devices):
            raise InputError(
                f"expected device {' or '.join(devices)} with the flavour {self.flavour}, found {self.device!r}; leave "
                f"it out"
            )
        for name in ("max_batch", "max_memories", "instances", "threads"):
            if (number := getattr(self, name)) < 1:
                raise InputError(f"expected {name} of at least 1, found {number}")
        if not 0 < self.idle_timeout <= _MOST_SECONDS:
            raise InputError(f"expected idle_timeout of 0 to {_MOST_SECONDS} seconds, found {self.idle_timeout}")


def write_memory_repository(
    bundle: Bundle | Path | str, folder: Path | str, options: MemoryServing | None = None, *, force: bool = False
) -> Path:
    """Write a model repository for Triton from a memory's bundle, whose files are checked against their hashes.

    It holds ``lam_memory``. The inputs are ``key`` and ``value`` FP32 ``[1, hidden]``, ``query`` FP32
    ``[1, n, hidden]`` and ``store`` BOOL ``[1, 1]``. The outputs are ``recall`` FP32 ``[1, n, hidden]`` and ``stored``
    FP32 ``[1, hidden]``. Each sequence of requests is a memory of its own, and begins empty.

    Args:
        bundle: what ``lam-export memory`` wrote: its folder, or an open bundle.
        folder: of the repository. It is written beside its place and renamed when it is whole.
        options: how to serve. Default: all defaults.
        force: replace an existing repository. Any other folder is never replaced.

    Returns:
        ``folder``.

    Raises:
        BundleError: the bundle is broken or an encoder's, or the folder is taken or cannot be written.
        EngineError: the extra ``serve`` is not installed.
    """
    require_client()
    bundle = Bundle(bundle.path if isinstance(bundle, Bundle) else bundle, kind="memory")
    options = options or MemoryServing()
    content = bundle.read(MEMORY_MODEL)
    graph, model = bundle.manifest.graphs.get(MEMORY_MODEL), bundle.manifest.model
    if graph is None:
        raise BundleError(
            f"expected {MEMORY_MODEL} among the graphs of {bundle.path}, found "
            f"{', '.join(bundle.manifest.graphs) or 'none'}; make the bundle again: lam-export memory"
        )
    config = _config(graph, options)
    modules = _FLAVOURS[options.flavour].complete(config, graph, model, options)
    files = {f"1/{name}": data for name, data in (modules | {MEMORY_MODEL: content}).items()}
    expected = Expected(model.hidden_size, graph)
    return put_repository(Path(folder), [(config, files)], expected, record_of(bundle, asdict(options)), force=force)


def hidden_size_of(repository: Path) -> int:
    """The length of the vectors that a repository's ``lam_memory`` takes."""
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = text_format.Parse((repository / MODEL / "config.pbtxt").read_text(encoding="utf-8"), ModelConfig())
    return int(next(tensor.dims[0] for tensor in config.input if tensor.name == INPUTS[0]))


def _config(graph: Graph, options: MemoryServing) -> "ModelConfig":
    """``lam_memory`` in any flavour. Requests of several sequences that come together are one batch."""
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(name=MODEL, backend=_FLAVOURS[options.flavour].backend, max_batch_size=options.max_batch)
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.outputs)}
    for tensors, names in ((config.input, INPUTS), (config.output, OUTPUTS)):
        for name in names:
            tensors.add(name=name, data_type=TYPES[specs[name].dtype], dims=dims_of(specs[name]))
    batching = config.sequence_batching
    batching.max_sequence_idle_microseconds = round(options.idle_timeout * 1e6)
    batching.oldest.max_candidate_sequences = options.max_memories
    kind = "KIND_GPU" if options.device == "cuda" else "KIND_CPU"
    config.instance_group.add(kind=kind, count=options.instances)
    return config


def _states_in_model(config: "ModelConfig", graph: Graph, model: ModelInfo, options: MemoryServing) -> dict[str, bytes]:
    """The Python model computes, and keeps the states."""
    parameters = {
        "heads": model.num_attention_heads,
        "head_size": model.hidden_size // model.num_attention_heads,
        "idle_timeout": options.idle_timeout,
        "threads": options.threads,
    }
    for name, value in parameters.items():
        config.parameters[name].string_value = str(value)
    models = ("serving/triton/models/lam_memory.py", "serving/triton/models/requests.py")
    return copied_modules(*models, "memories/state.py", "contract.py", "errors.py", "telemetry.py")


def _states_in_triton(
    config: "ModelConfig", graph: Graph, model: ModelInfo, options: MemoryServing
) -> dict[str, bytes]:
    """The backend computes, and Triton keeps the states, which begin as zeros."""
    config.default_model_filename = MEMORY_MODEL
    specs = {spec.name: spec for spec in graph.inputs}
    for past, present in zip(PAST, PRESENT, strict=True):
        dims = dims_of(specs[past])
        state = config.sequence_batching.state.add(
            input_name=past, output_name=present, data_type="TYPE_FP32", dims=dims
        )
        state.initial_state.add(name=f"empty_{past}", data_type="TYPE_FP32", dims=dims, zero_data=True)
    # ONNX Runtime keeps a plan of memory for every shape that it has seen.
    config.parameters["enable_mem_pattern"].string_value = "0"
    if options.device == "cpu":
        config.parameters["intra_op_thread_count"].string_value = str(options.threads)
    return {}


@dataclass(frozen=True)
class _Flavour:
    """A way to serve a memory."""

    backend: str
    """Triton's backend that computes."""
    devices: tuple[str, ...]
    """Devices that it runs on."""
    complete: Callable[["ModelConfig", Graph, ModelInfo, MemoryServing], dict[str, bytes]]
    """Completes the configuration, and gives the files beside the graph."""


_FLAVOURS = {
    "python": _Flavour("python", ("cpu",), _states_in_model),
    "onnxruntime": _Flavour("onnxruntime", ("cpu", "cuda"), _states_in_triton),
}
