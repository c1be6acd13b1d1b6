"""Which plan runs on a machine, in which of its shapes: decided without TensorRT."""

from pathlib import Path

import bundles
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_bundle import HERE, PROFILES, bundle_with, profile

from lam_engines import BundleError, EngineError, InputError
from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.batching import bucket, pad, pad_to
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.runtimes.tensorrt.library import RTX, TENSORRT, PlanBinding
from lam_engines.runtimes.tensorrt.plans import (
    choose_plan,
    choose_profile,
    max_batch,
    max_tokens,
    padded_shape,
)


def refusal(bundle: Bundle, precision: str = "fp16", environment: PlanBinding = HERE) -> str:
    return bundles.refusal(lambda: choose_plan(bundle, precision, environment))


def test_the_plan_of_this_machine_and_precision(tmp_path: Path) -> None:
    bundle = bundle_with(
        tmp_path,
        {},
        {"precision": "fp32"},
        {"plugin": False},
        {"compute_capabilities": ("8.9",)},
        {"version": "11.4.0.1"},
    )
    assert choose_plan(bundle, "fp16", HERE) == "engines/2.plan"  # the one built last
    assert choose_plan(bundle, "fp32", HERE) == "engines/1.plan"
    assert choose_plan(bundle, "fp16", PlanBinding(TENSORRT, HERE.version, "8.9")) == "engines/3.plan"
    assert choose_plan(bundle, "fp16", PlanBinding(TENSORRT, "11.4.0.1", "9.0")) == "engines/4.plan"


def test_a_plan_of_many_gpus_is_of_its_library_alone(tmp_path: Path) -> None:
    many = {"library": "tensorrt-rtx", "version": "1.7.1.116", "compute_capabilities": ("8.6", "8.9"), "gpu": None}
    bundle = bundle_with(tmp_path, {**many, "driver": None, "inspector": None}, {})
    assert choose_plan(bundle, "fp16", HERE) == "engines/1.plan"
    for capability in ("8.6", "8.9", None):  # None: the library itself refuses a plan
        assert choose_plan(bundle, "fp16", PlanBinding(RTX, "1.7.1.116", capability)) == "engines/0.plan"
    message = refusal(bundle, environment=PlanBinding(RTX, "1.7.1.116", "9.0"))
    assert (
        "expected a plan for compute capability 9.0, that of the GPU here, found fp16 plans for 8.6, 8.9 in" in message
    )
    assert message.endswith("--fp16 --rtx")
    assert "expected a plan for TensorRT for RTX 1.8.0" in refusal(bundle, environment=PlanBinding(RTX, "1.8.0", "8.6"))


def test_no_plan(tmp_path: Path) -> None:
    message = refusal(bundle_with(tmp_path))
    assert message.startswith("expected a plan of precision fp16 for TensorRT in ")
    assert f"found none; build it here: lam-export trt '{tmp_path}/a bundle' --fp16" in message


def test_no_plan_of_that_precision(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, {})
    assert "precision fp32" in refusal(bundle, "fp32")
    assert "found fp16; build it here" in refusal(bundle, "fp32")
    assert refusal(bundle, "fp32").endswith("--fp32")
    for precision in ("int8", "bf16", "half"):
        with pytest.raises(EngineError, match=f"expected precision fp16 or fp32 .* found '{precision}'"):
            choose_plan(bundle, precision, HERE)


@pytest.mark.parametrize("version", ["10.9.0.35", "10.9", "11.4.0.1"])
def test_a_plan_for_another_tensorrt(version: str, tmp_path: Path) -> None:
    message = refusal(
        bundle_with(tmp_path, {}, {"version": "10.13.0.1"}), environment=PlanBinding(TENSORRT, version, "9.0")
    )
    assert f"expected a plan for TensorRT {version}, the version installed here" in message
    assert "found fp16 plans for 10.13.0.1, 10.9.0.34 in" in message
    assert message.endswith(f"build it here: lam-export trt '{tmp_path}/a bundle' --fp16")


def test_a_plan_for_another_gpu(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, {}, {"compute_capabilities": ("8.9",), "gpu": "NVIDIA L4"})
    message = refusal(bundle, environment=PlanBinding(TENSORRT, HERE.version, "8.6"))
    assert "expected a plan for compute capability 8.6, that of the GPU here" in message
    assert "found fp16 plans for 8.9 (NVIDIA L4), 9.0 (NVIDIA H200) in" in message
    assert message.endswith("--fp16")


def test_a_plan_of_a_graph_that_was_replaced(tmp_path: Path) -> None:
    message = refusal(bundle_with(tmp_path, {"graph_sha256": "0" * 64}))
    assert "expected engines/0.plan to be built from the model.onnx of" in message
    assert "found it built from another; build it again: lam-export trt" in message


def test_an_altered_plan(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, {})
    (bundle.path / "engines/0.plan").write_bytes(b"plan 1")
    with pytest.raises(BundleError, match=r"engines/0\.plan is not the file that the bundle was made with"):
        bundle.read(choose_plan(bundle, "fp16", HERE))
    (bundle.path / "engines/0.plan").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.read(choose_plan(bundle, "fp16", HERE))


@pytest.mark.parametrize(
    ("batch", "tokens", "expected"),
    [(1, 1, 0), (64, 64, 0), (1, 65, 1), (64, 512, 1), (1, 513, 2), (4, 8192, 2)],
)
def test_the_tightest_profile(batch: int, tokens: int, expected: int) -> None:
    assert choose_profile(PROFILES, batch, tokens) == expected
    assert choose_profile(PROFILES[::-1], batch, tokens) == 2 - expected


def test_how_many_texts_and_how_long(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, {})
    plan = bundle.manifest.plans["engines/0.plan"]
    assert max_tokens(plan) == 8192
    assert [max_batch(plan, tokens, bundle, TENSORRT) for tokens in (1, 64, 65, 512, 513, 8192)] == [
        64,
        64,
        64,
        64,
        4,
        4,
    ]
    with pytest.raises(InputError) as caught:
        max_batch(plan, 9000, bundle, TENSORRT)
    assert str(caught.value) == (
        "expected texts of at most 8192 tokens, the longest that the plan's profiles take, found one of 9000; build a "
        f"plan for longer texts: lam-export trt '{tmp_path}/a bundle' --fp16 --max-tokens 12288"
    )


@given(st.integers(1, 10**6))
def test_buckets(count: int) -> None:
    found = bucket(count)
    assert count <= found < 1.5 * count or found == count
    assert bucket(found) == found
    assert found in {2**i for i in range(21)} | {3 * 2**i for i in range(20)}


def test_the_first_buckets() -> None:
    assert sorted({bucket(n) for n in range(1, 33)}) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]


@given(st.data())
def test_a_padded_shape_holds_the_batch_and_is_within_the_profile(data: st.DataObject) -> None:
    largest = data.draw(st.tuples(st.integers(1, 300), st.integers(1, 9000)))
    least = data.draw(st.tuples(st.integers(1, largest[0]), st.integers(1, largest[1])))
    batch, tokens = data.draw(st.tuples(st.integers(1, largest[0]), st.integers(1, largest[1])))
    rows, length = padded_shape(profile(*largest, least=least), batch, tokens)
    assert max(batch, least[0]) <= rows <= largest[0]
    assert max(tokens, least[1]) <= length <= largest[1]


@pytest.mark.parametrize("shape", [(3, 130), (4, 192), (16, 256)])
def test_a_padded_shape_moves_no_embedding(tiny_engine: EmbeddingEngine, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 128, length) for length in (130, 1, 37)]
    ids, mask = pad_to(*pad(texts, 0), shape, 0)
    assert ids.shape == mask.shape == shape
    found = tiny_engine._infer(ids, mask)
    np.testing.assert_array_equal(found[len(texts) :], 0)
    alone = np.concatenate([tiny_engine.embed_ids(row[None]) for row in texts])
    np.testing.assert_allclose(found[: len(texts)], alone, rtol=0, atol=1e-5)
