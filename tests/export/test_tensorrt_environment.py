"""Which TensorRT and GPU can build a plan; and what is said where there are none."""

from importlib.util import find_spec

import pytest

from lam_engines.runtimes.tensorrt.library import TENSORRT
from lam_export.export.tensorrt import PlanError
from lam_export.export.tensorrt.environment import BuildEnvironment, check_gpu, check_version, find_environment


def environment(compute_capability: str) -> BuildEnvironment:
    return BuildEnvironment(TENSORRT, "10.9.0.34", (compute_capability,), "Some GPU", "570.86.15")


@pytest.mark.parametrize("version", ["10.9.0.34", "10.13.3.9", "10.15.1.29", "11.0.0.114", "11.4.0.106"])
def test_versions_that_take_the_plugin(version: str) -> None:
    check_version(version, plugin=True)
    check_version(version, plugin=False)


@pytest.mark.parametrize("version", ["10.0.1", "10.3.0.26", "10.8.0.43", "10.14.1.48"])
def test_versions_that_build_without_it(version: str) -> None:
    check_version(version, plugin=False)
    with pytest.raises(PlanError, match=rf"found {version}; run: pip install .*\[trt\]', .* --no-plugin"):
        check_version(version, plugin=True)


@pytest.mark.parametrize("version", ["8.6.1", "9.3.0.post12.dev1", "", "unknown"])
@pytest.mark.parametrize("plugin", [True, False])
def test_versions_that_build_nothing(version: str, plugin: bool) -> None:
    with pytest.raises(PlanError, match=r"expected TensorRT 10\.0 or newer, found .* pip install"):
        check_version(version, plugin=plugin)


@pytest.mark.parametrize(("capability", "target"), [("8.0", "sm_80"), ("9.0", "sm_90"), ("12.0", "sm_120")])
def test_gpus_with_a_kernel(capability: str, target: str) -> None:
    assert environment(capability).target == target
    check_gpu(environment(capability), plugin=True)


def test_a_gpu_without_a_kernel() -> None:
    check_gpu(environment("7.5"), plugin=False)
    with pytest.raises(PlanError, match=r"sm_80, .* found Some GPU \(sm_75\); build without it: --no-plugin"):
        check_gpu(environment("7.5"), plugin=True)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_no_tensorrt() -> None:
    with pytest.raises(PlanError, match=r"TensorRT is not installed; run: pip install .*\[trt\]'"):
        find_environment(plugin=True)
