"""A model repository for a memory: Triton's sequence batcher keeps one for each sequence of requests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...bundles.bundle import Bundle
from ...bundles.manifest import Graph
from ...contract import MEMORY_MODEL
from ...errors import BundleError, InputError
from ...memories.state import INPUTS, OUTPUTS, PAST, PRESENT
from .check import Expected
from .configs import dims_of
from .modules import copied_modules
from .repository import put_repository, record_of, require_client

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

MODEL = "lam_memory"
FLAVOURS = ("python", "onnxruntime")
_MOST_SECONDS = 10**9
_TYPES = {"float32": "TYPE_FP32", "bool": "TYPE_BOOL"}


@dataclass(frozen=True)
class MemoryServing:
    """How a memory's bundle is to be served."""

    flavour: str = "python"
    """What computes and where the states are: ONNX Runtime in the Python backend, which keeps them itself, or Triton's
    onnxruntime backend, whose states Triton keeps (implicit state)."""
    device: str = "cpu"
    """``cpu`` or ``cuda``, with onnxruntime."""
    max_batch: int = 64
    """Memories that are computed at once."""
    max_memories: int = 1024
    """Memories that an instance keeps at once; the first request of one more waits until another one ends."""
    idle_timeout: float = 600.0
    """Seconds without a request after which a memory is forgotten."""
    instances: int = 1
    threads: int = 1
    """Of each instance, on a CPU."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: one is out of range, or makes no sense with the flavour.
        """
        if self.flavour not in FLAVOURS:
            raise InputError(f"expected flavour {' or '.join(FLAVOURS)} for a memory, found {self.flavour!r}")
        if self.device not in ("cpu", "cuda") or (self.device == "cuda" and self.flavour != "onnxruntime"):
            raise InputError(
                f"expected device cpu with the flavour {self.flavour}, found {self.device!r}; leave it out"
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

    It holds ``lam_memory``: inputs ``key`` and ``value`` FP32 ``[1, hidden]``, ``query`` FP32 ``[1, n, hidden]`` and
    ``store`` BOOL ``[1, 1]``, outputs ``recall`` FP32 ``[1, n, hidden]`` and ``stored`` FP32 ``[1, hidden]``. Each
    sequence of requests is a memory of its own, empty at its start.

    Args:
        bundle: what ``lam-export memory`` wrote: where it is, or an open one.
        folder: of the repository; written beside its place and renamed when it is whole.
        options: how to serve; the defaults if left out.
        force: replace a repository that is there. A folder that is none is never replaced.

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
    config = memory_config(graph, options)
    if options.flavour == "python":
        heads = model.num_attention_heads
        parameters = {
            "heads": heads,
            "head_size": model.hidden_size // heads,
            "idle_timeout": options.idle_timeout,
            "threads": options.threads,
        }
        for name, value in parameters.items():
            config.parameters[name].string_value = str(value)
        modules = copied_modules(
            "serving/triton/models/lam_memory.py", "serving/triton/models/requests.py", "memories/state.py", "errors.py"
        )
        files: Mapping[str, bytes] = {f"1/{name}": data for name, data in (modules | {MEMORY_MODEL: content}).items()}
    else:
        files = {f"1/{MEMORY_MODEL}": content}
    expected = Expected(model.hidden_size, graph)
    return put_repository(Path(folder), [(config, files)], expected, record_of(bundle, asdict(options)), force=force)


def hidden_size_of(repository: Path) -> int:
    """The length of the vectors that a repository's ``lam_memory`` takes."""
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = text_format.Parse((repository / MODEL / "config.pbtxt").read_text(encoding="utf-8"), ModelConfig())
    return int(next(tensor.dims[0] for tensor in config.input if tensor.name == "key"))


def memory_config(graph: Graph, options: MemoryServing) -> "ModelConfig":
    """``lam_memory``, batching what sequences ask for at the same time; with onnxruntime the states are implicit.

    Args:
        graph: the memory's.
        options: how to serve it.
    """
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(name=MODEL, backend=options.flavour, max_batch_size=options.max_batch)
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.outputs)}
    for tensors, names in ((config.input, INPUTS), (config.output, OUTPUTS)):
        for name in names:
            tensors.add(name=name, data_type=_TYPES[specs[name].dtype], dims=dims_of(specs[name]))
    batching = config.sequence_batching
    batching.max_sequence_idle_microseconds = round(options.idle_timeout * 1e6)
    batching.oldest.max_candidate_sequences = options.max_memories
    kind = "KIND_GPU" if options.device == "cuda" else "KIND_CPU"
    config.instance_group.add(kind=kind, count=options.instances)
    if options.flavour == "python":
        return config
    config.default_model_filename = MEMORY_MODEL
    for past, present in zip(PAST, PRESENT, strict=True):
        dims = dims_of(specs[past])
        state = batching.state.add(input_name=past, output_name=present, data_type="TYPE_FP32", dims=dims)
        state.initial_state.add(name=f"empty_{past}", data_type="TYPE_FP32", dims=dims, zero_data=True)
    # As in lam_engines.runtimes.onnxruntime.engine: plans of memory are kept for every shape ever seen.
    config.parameters["enable_mem_pattern"].string_value = "0"
    if options.device == "cpu":
        config.parameters["intra_op_thread_count"].string_value = str(options.threads)
    return config
