"""The models' ``config.pbtxt``, as Triton's own messages: what follows from a bundle is never typed by hand."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...bundles.manifest import Graph, ModelInfo, OptimizationProfile, TensorSpec
from ...embedding.batching import GPU_MAX_PADDING, MAX_PADDING
from .options import BYTES_PER_TOKEN, DEFAULT_MAX_TOKENS, ServingOptions

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

TOKENIZER, CORE, NETWORK, ENSEMBLE = "lam_tokenizer", "lam_core", "lam_model", "lam_embed"
"""The models of a repository. ``lam_model`` is there where the network runs in a backend of its own."""
TYPES = {"int64": "TYPE_INT64", "float32": "TYPE_FP32"}
"""Types of a graph's tensors to Triton's."""
GRAPH_BATCHES = (1, 2, 4, 8)
GRAPH_TOKENS = (16, 32, 64, 128, 256)
"""Shapes whose CUDA graphs are captured: those of few texts, where launching the kernels takes longer than they do."""


def tokenizer_config(model: ModelInfo, options: ServingOptions) -> "ModelConfig":
    """``lam_tokenizer``: texts to token ids."""
    max_tokens = options.max_tokens or DEFAULT_MAX_TOKENS
    config = _python_model(TOKENIZER, options)
    config.input.add(name="text", data_type="TYPE_STRING", dims=[1])
    config.output.add(name="input_ids", data_type="TYPE_INT32", dims=[-1])
    config.output.add(name="token_count", data_type="TYPE_INT32", dims=[1])
    config.output.add(name="truncated", data_type="TYPE_BOOL", dims=[1])
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
        options: of the repository.
        network: parameters that say what computes.
    """
    config = _python_model(CORE, options)
    config.input.add(name="input_ids", data_type="TYPE_INT32", dims=[-1], allow_ragged_batch=True)
    config.input.add(name="token_count", data_type="TYPE_INT32", dims=[1])
    config.output.add(name="sentence_embedding", data_type="TYPE_FP32", dims=[model.hidden_size])
    config.instance_group.add(kind="KIND_CPU", count=1)
    _parameters(
        config,
        workers=options.instances + 1,  # one batch more, to be prepared and answered while others are computed
        batch_tokens=options.tokens_at_once,
        max_padding=GPU_MAX_PADDING if options.on_gpu else MAX_PADDING,
        hidden_size=model.hidden_size,
        pad_token_id=model.pad_token_id,
        vocab_size=model.vocab_size,
        **network,
    )
    return config


def onnxruntime_config(graph: Graph, options: ServingOptions) -> "ModelConfig":
    """``lam_model`` in Triton's onnxruntime backend."""
    config = _network_model("onnxruntime", graph, options.max_batch)
    config.default_model_filename = "model.onnx"
    kind: Literal["KIND_GPU", "KIND_CPU"] = "KIND_GPU" if options.on_gpu else "KIND_CPU"
    config.instance_group.add(kind=kind, count=options.instances)
    # As in lam_engines.runtimes.onnxruntime.engine: plans of memory are kept for every shape ever seen.
    parameters: dict[str, object] = {"enable_mem_pattern": 0}
    if not options.on_gpu and options.threads is not None:
        parameters["intra_op_thread_count"] = options.threads
    _parameters(config, **parameters)
    return config


def tensorrt_config(graph: Graph, options: ServingOptions, profiles: Sequence[OptimizationProfile]) -> "ModelConfig":
    """``lam_model`` in Triton's tensorrt backend. Each instance has all profiles; the backend takes the nearest one."""
    config = _network_model("tensorrt", graph, max(profile.batch.max for profile in profiles))
    config.platform = "tensorrt_plan"
    config.default_model_filename = "model.plan"
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
    """Whether a profile takes a batch of that shape."""
    sizes = ((profile.batch, batch), (profile.tokens, tokens))
    return all(limits.min <= size <= limits.max for limits, size in sizes)


def profiles_parameter(profiles: Sequence[OptimizationProfile]) -> str:
    """A plan's profiles, for ``lam_core``."""
    return json.dumps([profile.model_dump() for profile in profiles])


def ensemble_config(model: ModelInfo, options: ServingOptions) -> "ModelConfig":
    """``lam_embed``: text in, embedding out."""
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(name=ENSEMBLE, platform="ensemble", max_batch_size=options.max_batch)
    config.input.add(name="text", data_type="TYPE_STRING", dims=[1])
    config.output.add(name="sentence_embedding", data_type="TYPE_FP32", dims=[model.hidden_size])
    config.output.add(name="token_count", data_type="TYPE_INT32", dims=[1])
    config.output.add(name="truncated", data_type="TYPE_BOOL", dims=[1])
    step = config.ensemble_scheduling.step
    step.add(
        model_name=TOKENIZER,
        model_version=-1,
        input_map={"text": "text"},
        output_map={name: name for name in ("input_ids", "token_count", "truncated")},
    )
    step.add(
        model_name=CORE,
        model_version=-1,
        input_map={name: name for name in ("input_ids", "token_count")},
        output_map={"sentence_embedding": "sentence_embedding"},
    )
    if options.cache:
        config.response_cache.enable = True
    return config


def add_warm_up(
    config: "ModelConfig", name: str, inputs: Mapping[str, np.ndarray], batch_size: int = 1
) -> dict[str, bytes]:
    """Have a model run on this data before it counts as ready.

    Args:
        config: of the model.
        name: of the warm-up.
        inputs: name to what one request holds, without the batch dimension. A text is uint8, as Triton sends it: with
            its length in four bytes before it.
        batch_size: how many such requests run together.

    Returns:
        Files of the model's folder.
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
    """A tensor's shape as Triton wants it: without the batch, -1 where it is dynamic."""
    return [size if isinstance(size, int) else -1 for size in spec.shape[1:]]


def _parameters(config: "ModelConfig", **values: object) -> None:
    for name, value in values.items():
        config.parameters[name].string_value = str(value)
