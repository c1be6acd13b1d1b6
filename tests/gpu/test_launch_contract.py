"""The kernel launched by CUDA's driver as TensorRT launches it; and by TensorRT itself, where it is installed."""

import ctypes
from collections.abc import Callable, Iterator

import pytest
import torch
from delta_rule import TOLERANCE, Case, exactly, relative_error
from torch import Tensor

from lam_engines.machine import cache_folder
from lam_plugins import aot
from lam_plugins.aot import CompiledKernel
from lam_plugins.fused_delta_rule import OP_DOMAIN, PLUGIN_NAMESPACE, op_type
from lam_plugins.fused_delta_rule import tensorrt as plugin

pytestmark = [pytest.mark.gpu, pytest.mark.needs("triton", "cuda")]

CHUNK = 128
LENGTHS = [[length] for length in (1, 2, 31, 63, 127, 128, 129, 300, 1000, 2000)]
PADDED = [300, 0, 128, 1, 77]
DATA_TYPES = {torch.float16: "HALF", torch.float32: "FLOAT"}

Launch = Callable[[CompiledKernel, tuple[Tensor, ...]], Tensor]


def target() -> str:
    """This GPU, or the oldest, whose PTX newer GPUs assemble too."""
    name = "sm_{}{}".format(*torch.cuda.get_device_capability())
    return name if name in aot.TARGETS else next(iter(aot.TARGETS))


def compiled_tactics(arguments: tuple[Tensor, ...]) -> dict[int, CompiledKernel]:
    shapes = {name: t.shape for name, t in zip(plugin.INPUTS, arguments, strict=True)}
    fixed = {name: shapes[name] for name in ("projected", "conv_bias", "norm_weight")}
    return plugin.compiled_tactics(
        plugin.tactics(target(), CHUNK, DATA_TYPES[arguments[0].dtype], **fixed), cache_folder()
    )


def on_device(case: Case, dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(t.cuda() for t in case.arguments(dtype))


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Load PTX, launch it with inputs, int32 scalars and outputs in this order, and wait."""
    cuda = ctypes.CDLL("libcuda.so.1")
    modules: list[ctypes.c_void_p] = []

    def check(status: int) -> None:
        assert status == 0, f"CUDA driver error {status}"

    def run(compiled: CompiledKernel, arguments: tuple[Tensor, ...]) -> Tensor:
        from lam_plugins.fused_delta_rule import kernel

        projected, _, _, conv_bias, *_ = arguments  # PyTorch has made its context this thread's
        batch, tokens, _ = projected.shape
        heads = projected.new_full((batch, tokens, conv_bias.shape[0] // 3), float("nan"))
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        check(cuda.cuModuleLoadData(ctypes.byref(module), compiled.ptx.encode()))
        modules.append(module)
        check(cuda.cuModuleGetFunction(ctypes.byref(function), module, compiled.name.encode()))
        values = [
            *(ctypes.c_void_p(t.data_ptr()) for t in arguments),
            ctypes.c_int32(tokens),
            ctypes.c_void_p(heads.data_ptr()),
        ]
        pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        x, y = kernel.launch_grid(batch, tokens, compiled.constants["HEADS"], CHUNK)
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        sizes = (x, y, 1, compiled.threads, 1, 1, compiled.shared_bytes)
        check(cuda.cuLaunchKernel(function, *map(ctypes.c_uint, sizes), stream, pointers, None))
        torch.cuda.synchronize()
        return heads

    yield run
    for module in modules:
        cuda.cuModuleUnload(module)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("lengths", [*LENGTHS, PADDED], ids=str)
def test_every_tactic_equals_the_oracle(launch: Launch, lengths: list[int], dtype: torch.dtype) -> None:
    arguments = on_device(Case(lengths, 32, heads=12), dtype)
    expected = exactly(arguments, CHUNK)
    for tactic, compiled in compiled_tactics(arguments).items():
        found = launch(compiled, arguments)
        assert relative_error(found, expected) <= TOLERANCE[dtype], f"tactic {tactic}"
        for row, length in zip(found, lengths, strict=True):
            assert not row[length:].any(), f"tactic {tactic}"


@pytest.mark.parametrize("head_size", [16, 64])
def test_other_head_sizes(launch: Launch, head_size: int) -> None:
    arguments = on_device(Case(PADDED, head_size), torch.float16)
    for compiled in compiled_tactics(arguments).values():
        assert relative_error(launch(compiled, arguments), exactly(arguments, CHUNK)) <= TOLERANCE[torch.float16]


@pytest.mark.needs("tensorrt")
@pytest.mark.tensorrt
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_tensorrt_builds_and_runs_one_node(dtype: torch.dtype) -> None:
    from polygraphy.backend.trt import CreateConfig, EngineFromNetwork, NetworkFromOnnxBytes, Profile, TrtRunner

    case = Case([1], 32, heads=12)
    plugin.register_plugin(CHUNK, target(), cache_folder())
    profile = Profile()
    width = case.projected.shape[2]
    profile.add("projected", (1, 1, width), (2, 128, width), (8, 2000, width))
    profile.add("lengths", (1,), (2,), (8,))
    network = NetworkFromOnnxBytes(one_node(case, dtype), strongly_typed=True)
    with TrtRunner(EngineFromNetwork(network, CreateConfig(profiles=[profile]))) as runner:
        for lengths in (*LENGTHS, PADDED):
            texts = Case(lengths, 32, heads=12)
            # The weights are those of the graph: constants of the engine.
            texts.conv_weight, texts.conv_bias, texts.norm_weight = case.conv_weight, case.conv_bias, case.norm_weight
            arguments = texts.arguments(dtype)
            feed = {"projected": arguments[0].numpy(), "lengths": arguments[1].numpy()}
            found = torch.from_numpy(runner.infer(feed)["heads"].copy())
            assert relative_error(found, exactly(arguments, CHUNK)) <= TOLERANCE[dtype]


def one_node(case: Case, dtype: torch.dtype) -> bytes:
    """An ONNX model of one fused node, without the function: TensorRT takes the plugin or fails."""
    import onnx
    from onnx import helper, numpy_helper

    _, _, *weights = case.arguments(dtype)
    names = plugin.INPUTS[2:]
    kind = helper.np_dtype_to_tensor_dtype(weights[0].numpy().dtype)
    hidden, width = len(case.conv_bias) // 3, case.projected.shape[2]
    node = helper.make_node(
        op_type(CHUNK),
        plugin.INPUTS,
        plugin.OUTPUTS,
        domain=OP_DOMAIN,
        plugin_namespace=PLUGIN_NAMESPACE,
        plugin_version="1",
        aot=1,
    )
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info("projected", kind, ["batch", "tokens", width]),
            helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, ["batch"]),
        ],
        [helper.make_tensor_value_info("heads", kind, ["batch", "tokens", hidden])],
        [numpy_helper.from_array(w.numpy(), name) for name, w in zip(names, weights, strict=True)],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(OP_DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
