"""What is seen to before TensorRT calls the plugin back."""

from pathlib import Path

import onnx
import pytest

from lam_engines.bundles.manifest import OptimizationProfile, Range
from lam_export.export.mixed_precision import half_precision
from lam_export.export.tensorrt import PlanError
from lam_export.export.tensorrt.plugin import plugin_builds, ready_plugin
from lam_export.export.trace import onnx_from_encoder
from lam_export.model.encoder import Encoder

pytestmark = pytest.mark.heavy


def profile(batch: int) -> OptimizationProfile:
    return OptimizationProfile(batch=Range(min=1, opt=1, max=batch), tokens=Range(min=1, opt=8, max=64))


@pytest.fixture(scope="module")
def half(tiny_encoder: Encoder) -> onnx.ModelProto:
    return onnx_from_encoder(half_precision(tiny_encoder))


def test_the_builds_are_of_the_graphs_sizes(half: onnx.ModelProto, tiny_encoder: Encoder) -> None:
    builds = plugin_builds(half, 128, [profile(8)], "sm_90")
    hidden = tiny_encoder.config.hidden_size
    width = tiny_encoder.layers[0].form.in_proj.weight.shape[0]
    assert {build.variant for build in builds.values()} == {"rows16", "rows32", "rows64"}
    for build in builds.values():
        assert (build.target, build.dtype, build.chunk_size) == ("sm_90", "fp16", 128)
        assert (build.hidden, build.head_size, build.width) == (hidden, 16, width)


def test_the_fp32_graph(tiny_encoder: Encoder) -> None:
    (build,) = plugin_builds(onnx_from_encoder(tiny_encoder), 128, [profile(8)], "sm_80").values()
    assert (build.dtype, build.variant) == ("fp32", "rows16")


def test_batches_that_no_grid_holds(half: onnx.ModelProto) -> None:
    with pytest.raises(PlanError, match="at most 65,535 texts for the plugin, found one of 65,536"):
        plugin_builds(half, 128, [profile(8), profile(65_536)], "sm_90")


def test_heads_that_the_kernel_does_not_have(half: onnx.ModelProto) -> None:
    odd = onnx.ModelProto()
    odd.CopyFrom(half)
    for tensor in odd.graph.initializer:
        if tensor.name.endswith("norm_weight"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).repeat(8), tensor.name))
    with pytest.raises(PlanError, match=r"head sizes 16, 32, 64 in fp16; found 128; build without it: --no-plugin"):
        plugin_builds(odd, 128, [profile(8)], "sm_90")


@pytest.mark.heavy
def test_the_kernels_are_compiled_before_tensorrt_is_asked(
    half: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path))
    assert set(ready_plugin(half, 128, [profile(8)], "sm_80")) == {1, 2, 3}
    assert len(list((tmp_path / "kernels").glob("*.json"))) == 3
