"""Plans and timing caches in a bundle: their names, what replaces what, and what is left in peace."""

import hashlib
from dataclasses import replace
from pathlib import Path

import bundles
import pytest

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import Graph, TensorSpec
from lam_engines.bundles.writing import write_bundle
from lam_engines.contract import PLANS
from lam_engines.errors import BundleError
from lam_engines.runtimes.tensorrt.library import TENSORRT
from lam_export.export.tensorrt.environment import BuildEnvironment
from lam_export.export.tensorrt.profiles import default_profiles
from lam_export.export.tensorrt.record import BuiltPlan, PlanSource, known_timing_cache, plan_source, record_plan

H200 = BuildEnvironment(TENSORRT, "10.9.0.34", ("9.0",), "NVIDIA H200", "570.86.15")
BUILT = BuiltPlan(b"\x00ftrt a plan", '{"Layers": []}', b"measured")
GRAPHS = {"model.onnx": "fp32", "model.fp16.onnx": "fp16"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with write_bundle(tmp_path / "bundle") as (draft, commit):
        for name in (*GRAPHS, "tokenizer.json"):
            (draft / name).write_bytes(bundles.graph(name.encode()))
        tensor = TensorSpec(name="x", dtype="int64", shape=("batch", "tokens"))
        graphs = {
            name: Graph(precision=precision, opset=20, inlined=False, inputs=(tensor,), outputs=(tensor,))
            for name, precision in GRAPHS.items()
        }
        manifest = bundles.manifest_of(draft, [*GRAPHS, "tokenizer.json"])
        commit(manifest.model_copy(update={"graphs": graphs}))
    return tmp_path / "bundle"


def source(path: Path, precision: str = "fp16", plugin: bool = True) -> PlanSource:
    return plan_source(Bundle(path), precision, plugin, default_profiles(600))


def short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def engines(path: Path) -> set[str]:
    bundles.read_all(path)  # every hash
    return {str(p.relative_to(path)) for p in (path / "engines").iterdir()}


def test_what_is_recorded(path: Path) -> None:
    bundle, name = record_plan(path, BUILT, source(path), H200, {"layers.0.form/FusedDeltaRule_c128": "rows16"})
    assert name == f"engines/fp16-sm90-trt10.9.0-{short(BUILT.plan)}.plan"
    plan = bundle.manifest.plans[name]
    assert bundle.read(name) == BUILT.plan
    assert bundle.read(plan.inspector) == BUILT.inspector.encode()
    assert plan.inspector.endswith(".json")
    graph = bundles.graph(b"model.fp16.onnx")
    assert (plan.graph, plan.graph_sha256) == ("model.fp16.onnx", hashlib.sha256(graph).hexdigest())
    assert (plan.precision, plan.plugin, plan.library, plan.version) == ("fp16", True, "tensorrt", "10.9.0.34")
    assert (plan.gpu, plan.compute_capabilities, plan.driver) == ("NVIDIA H200", ("9.0",), "570.86.15")
    assert plan.profiles == default_profiles(600)
    assert plan.tactics == {"layers.0.form/FusedDeltaRule_c128": "rows16"}
    assert engines(path) == {name, plan.inspector, f"engines/timing-{short(b'measured')}.cache"}
    assert Bundle(path).manifest == bundle.manifest


def test_a_newer_plan_takes_the_place_of_the_old_one(path: Path) -> None:
    _, old = record_plan(path, BUILT, source(path), H200, {})
    newer = BuiltPlan(b"another plan", "{}", b"measured more")
    bundle, new = record_plan(path, newer, source(path), replace(H200, driver="580.65.06"), {})
    assert set(bundle.manifest.plans) == {new} != {old}
    cache = f"engines/timing-{short(b'measured more')}.cache"
    assert engines(path) == {new, bundle.manifest.plans[new].inspector, cache}
    assert [n for n in bundle.manifest.files if n.startswith("engines/")] == sorted(
        engines(path), key=[*bundle.manifest.files].index
    )


def test_the_same_plan_again(path: Path) -> None:
    for _ in range(2):
        bundle, name = record_plan(path, BUILT, source(path), H200, {})
    assert set(bundle.manifest.plans) == {name}
    assert len(engines(path)) == 3
    # A plan of the same bytes whose inspector says something else.
    bundle, name = record_plan(path, replace(BUILT, inspector="{}"), source(path), H200, {})
    assert bundle.read(bundle.manifest.plans[name].inspector) == b"{}"
    assert len(engines(path)) == 3


OTHERS = {
    "precision": ("fp32", True, H200),
    "plugin": ("fp16", False, H200),
    "TensorRT": ("fp16", True, replace(H200, version="10.9.1.2")),
    "GPU": ("fp16", True, replace(H200, gpu="NVIDIA H100 80GB HBM3")),
    "compute capability": ("fp16", True, replace(H200, compute_capabilities=("12.0",))),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_plan_of_another_kind_stays(other: str, path: Path) -> None:
    precision, plugin, environment = OTHERS[other]
    _, first = record_plan(path, BUILT, source(path), H200, {})
    built = BuiltPlan(b"another plan", "{}", b"measured there")
    bundle, second = record_plan(path, built, source(path, precision, plugin), environment, {})
    assert set(bundle.manifest.plans) == {first, second}
    assert bundle.read(first) == BUILT.plan


def test_names_tell_kinds_apart(path: Path) -> None:
    names = {
        record_plan(path, BUILT, source(path, precision, plugin), environment, {})[1]
        for precision, plugin, environment in OTHERS.values()
    }
    digest = short(BUILT.plan)
    assert names == {
        f"engines/fp32-sm90-trt10.9.0-{digest}.plan",
        f"engines/fp16-noplugin-sm90-trt10.9.0-{digest}.plan",
        f"engines/fp16-sm90-trt10.9.1-{digest}.plan",
        f"engines/fp16-sm90-trt10.9.0-{digest}.plan",
        f"engines/fp16-sm120-trt10.9.0-{digest}.plan",
    }


def test_timing_caches_are_kept_by_tensorrt_and_gpu(path: Path) -> None:
    assert known_timing_cache(Bundle(path), H200) is None
    other = replace(H200, version="11.4.0.106")
    record_plan(path, BUILT, source(path), H200, {})
    record_plan(path, replace(BUILT, timing_cache=b"elsewhere"), source(path), other, {})
    bundle, _ = record_plan(path, replace(BUILT, timing_cache=b"measured anew"), source(path, "fp32"), H200, {})
    assert known_timing_cache(bundle, H200) == b"measured anew"
    assert known_timing_cache(bundle, other) == b"elsewhere"
    assert len(bundle.manifest.timing_cache) == 2
    assert len([name for name in engines(path) if name.endswith(".cache")]) == 2


def test_a_timing_cache_that_tensorrt_could_not_use_is_dropped(path: Path) -> None:
    record_plan(path, BUILT, source(path), H200, {})
    bundle, _ = record_plan(path, replace(BUILT, timing_cache=None), source(path), H200, {})
    assert bundle.manifest.timing_cache == {}
    assert not [name for name in engines(path) if name.endswith(".cache")]


def test_two_that_measured_the_same_share_a_file(path: Path) -> None:
    record_plan(path, BUILT, source(path), H200, {})
    record_plan(path, BUILT, source(path), replace(H200, version="11.4.0.106"), {})
    bundle, _ = record_plan(path, replace(BUILT, timing_cache=None), source(path), H200, {})
    assert list(bundle.manifest.timing_cache.values()) == [f"engines/timing-{short(b'measured')}.cache"]
    engines(path)


def test_a_graph_that_was_replaced_meanwhile(path: Path) -> None:
    stale = replace(source(path), graph_sha256="0" * 64)
    before = (path / "manifest.json").read_bytes()
    message = bundles.refusal(lambda: record_plan(path, BUILT, stale, H200, {}))
    assert "model.fp16.onnx" in message
    assert "lam-export trt" in message
    assert (path / "manifest.json").read_bytes() == before
    assert not (path / PLANS).exists()


def test_no_graph_of_that_precision(path: Path) -> None:
    with pytest.raises(BundleError, match=r"bf16"):
        source(path, "bf16")
