"""The ``config.pbtxt`` of an encoder's models, as Triton's own messages."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...bundles.manifest import Graph, ModelInfo, OptimizationProfile, TensorSpec
from ...contract import ENSEMBLE, INPUT_IDS, MODEL, SENTENCE_EMBEDDING, TEXT, TOKEN_COUNT, TRUNCATED
from ...embedding.batching import GPU_MAX_PADDING, MAX_PADDING
from ..limits import BYTES_PER_TOKEN, DEFAULT_MAX_TOKENS
from .options import ServingOptions

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

TOKENIZER, CORE, NETWORK = "lam_tokenizer", "lam_core", "lam_model"
"""The models of the ensemble. ``lam_model`` is there if another backend than ``lam_core``'s computes."""
PLAN = "model.plan"
"""File of a TensorRT plan in a repository."""
TYPES = {"int64": "TYPE_INT64", "float32": "TYPE_FP32", "bool": "TYPE_BOOL"}
"""Types of a graph's tensors to Triton's."""
GRAPH_BATCHES = (1, 2, 4, 8)
GRAPH_TOKENS = (16, 32, 64, 128, 256)
"""Shapes whose CUDA graphs are captured: small ones, whose kernels take longer to launch than to run."""

Model = tuple["ModelConfig", Mapping[str, bytes]]
"""A model: its configuration, and its files, from the name in the model's folder to the content."""


def tokenizer_config(model: ModelInfo, options: ServingOptions) -> "ModelConfig":
    """``lam_tokenizer``: texts to token ids."""
    max_tokens = options.max_tokens or DEFAULT_MAX_TOKENS
    config = _python_model(TOKENIZER, options)
    config.input.add(name=TEXT, data_type="TYPE_STRING", dims=[1])
    config.output.add(name=INPUT_IDS, data_type="TYPE_INT32", dims=[-1])
    config.output.add(name=TOKEN_COUNT, data_type="TYPE_INT32", dims=[1])
    config.output.add(name=TRUNCATED, data_type="TYPE_BOOL", dims=[1])
    config.instance_group.add(kind="KIND_CPU", count=1)
    _parameters(
        config,
        vocab_size=model.vocab_size,
        max_tokens=max_tokens,
        max_bytes=BYTES_PER_TOKEN * max_tokens,
        truncation=options.truncation,
    )
    return config


def core_config(model: ModelInfo, options: ServingOptions, network: Mapping[str, object]) -> "ModelConfig":
    """``lam_core``: token ids to embeddings.

    Args:
        model: of the bundle.
        options: resolved.
        network: parameters of what computes. ``network`` names the model to ask; without it ``lam_core`` computes.
    """
    config = _python_model(CORE, options)
    config.input.add(name=INPUT_IDS, data_type="TYPE_INT32", dims=[-1], allow_ragged_batch=True)
    config.input.add(name=TOKEN_COUNT, data_type="TYPE_INT32", dims=[1])
    config.output.add(name=SENTENCE_EMBEDDING, data_type="TYPE_FP32", dims=[model.hidden_size])
    config.instance_group.add(kind="KIND_CPU", count=1)
    _parameters(
        config,
        workers=options.instances + 1,  # one more prepares and answers its batch while others compute
        batch_tokens=options.tokens_at_once,
        max_padding=GPU_MAX_PADDING if options.on_gpu else MAX_PADDING,
        hidden_size=model.hidden_size,
        pad_token_id=model.pad_token_id,
        vocab_size=model.vocab_size,
        max_tokens=options.max_tokens or DEFAULT_MAX_TOKENS,
        **network,
    )
    return config


def onnxruntime_config(graph: Graph, options: ServingOptions) -> "ModelConfig":
    """``lam_model`` in Triton's onnxruntime backend."""
    config = _network_model("onnxruntime", graph, options.max_batch)
    config.default_model_filename = MODEL
    kind: Literal["KIND_GPU", "KIND_CPU"] = "KIND_GPU" if options.on_gpu else "KIND_CPU"
    config.instance_group.add(kind=kind, count=options.instances)
    # ONNX Runtime keeps a plan of memory for every shape that it has seen, and lengths vary without end.
    parameters: dict[str, object] = {"enable_mem_pattern": 0}
    if not options.on_gpu and options.threads is not None:
        parameters["intra_op_thread_count"] = options.threads
    _parameters(config, **parameters)
    return config


def tensorrt_config(graph: Graph, options: ServingOptions, profiles: Sequence[OptimizationProfile]) -> "ModelConfig":
    """``lam_model`` in Triton's tensorrt backend. Each instance has all profiles, and the backend takes the nearest."""
    config = _network_model("tensorrt", graph, max(profile.batch.max for profile in profiles))
    config.platform = "tensorrt_plan"
    config.default_model_filename = PLAN
    config.instance_group.add(
        kind="KIND_GPU", count=options.instances, profile=[str(index) for index in range(len(profiles))]
    )
    cuda = config.optimization.cuda
    cuda.graphs = True
    for tokens in GRAPH_TOKENS:
        for batch in GRAPH_BATCHES:
            if any(fits(profile, batch, tokens) for profile in profiles):
                spec = cuda.graph_spec.add(batch_size=batch)
                for tensor in config.input:
                    spec.input[tensor.name].dim.append(tokens)
    return config


def fits(profile: OptimizationProfile, batch: int, tokens: int) -> bool:
    """Whether a profile takes a batch of this many texts and tokens."""
    sizes = ((profile.batch, batch), (profile.tokens, tokens))
    return all(limits.min <= size <= limits.max for limits, size in sizes)


def profiles_parameter(profiles: Sequence[OptimizationProfile]) -> str:
    """A plan's profiles as a parameter of ``lam_core``."""
    return json.dumps([profile.model_dump() for profile in profiles])


def ensemble_config(model: ModelInfo, options: ServingOptions) -> "ModelConfig":
    """``lam_embed``: text in, embedding out."""
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(name=ENSEMBLE, platform="ensemble", max_batch_size=options.max_batch)
    config.input.add(name=TEXT, data_type="TYPE_STRING", dims=[1])
    config.output.add(name=SENTENCE_EMBEDDING, data_type="TYPE_FP32", dims=[model.hidden_size])
    config.output.add(name=TOKEN_COUNT, data_type="TYPE_INT32", dims=[1])
    config.output.add(name=TRUNCATED, data_type="TYPE_BOOL", dims=[1])
    step = config.ensemble_scheduling.step
    step.add(
        model_name=TOKENIZER,
        model_version=-1,
        input_map={TEXT: TEXT},
        output_map={name: name for name in (INPUT_IDS, TOKEN_COUNT, TRUNCATED)},
    )
    step.add(
        model_name=CORE,
        model_version=-1,
        input_map={name: name for name in (INPUT_IDS, TOKEN_COUNT)},
        output_map={SENTENCE_EMBEDDING: SENTENCE_EMBEDDING},
    )
    if options.cache:
        config.response_cache.enable = True
    return config


def add_warm_up(
    config: "ModelConfig", name: str, inputs: Mapping[str, np.ndarray], batch_size: int = 1
) -> dict[str, bytes]:
    """Have Triton run a model on this data before the model counts as ready.

    Args:
        config: of the model.
        name: of the warm-up.
        inputs: name of each input to its values in one request, without the batch dimension. A text is uint8: four
            bytes of its length, then the text.
        batch_size: how many such requests run together.

    Returns:
        Files for the model's folder: name to content.
    """
    warmup = config.model_warmup.add(name=name, batch_size=batch_size)
    files = {}
    types = {tensor.name: (tensor.data_type, tensor.dims) for tensor in config.input}
    for tensor, values in inputs.items():
        data_type, dims = types[tensor]
        given = warmup.inputs[tensor]
        given.data_type = data_type
        given.dims.extend(values.shape if list(dims) == [-1] else dims)
        given.input_data_file = f"{name}.{tensor}"
        files[f"warmup/{name}.{tensor}"] = values.tobytes()
    return files


def _python_model(name: str, options: ServingOptions) -> "ModelConfig":
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelQueuePolicy

    config = ModelConfig(name=name, backend="python", max_batch_size=options.max_batch)
    batching = config.dynamic_batching
    batching.max_queue_delay_microseconds = round(options.queue_delay * 1e6)
    policy = batching.default_queue_policy
    policy.timeout_action = ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = round(options.queue_timeout * 1e6)
    policy.allow_timeout_override = True
    policy.max_queue_size = options.queue_size
    return config


def _network_model(backend: str, graph: Graph, max_batch: int) -> "ModelConfig":
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(name=NETWORK, backend=backend, max_batch_size=max_batch)
    for tensors, specs in ((config.input, graph.inputs), (config.output, graph.outputs)):
        for spec in specs:
            tensors.add(name=spec.name, data_type=TYPES[spec.dtype], dims=dims_of(spec))
    return config


def dims_of(spec: TensorSpec) -> list[int]:
    """A tensor's shape in Triton's form: without the batch, and -1 for a dynamic size."""
    return [size if isinstance(size, int) else -1 for size in spec.shape[1:]]


def _parameters(config: "ModelConfig", **values: object) -> None:
    for name, value in values.items():
        config.parameters[name].string_value = str(value)
