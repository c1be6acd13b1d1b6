"""The engine ``auto``: the fastest that runs a bundle here, and the same embeddings whichever that is."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from commands import lam_export

from lam_engines import BundleError, EngineError, load_engine
from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import INLINED_MODEL
from lam_engines.errors import installing
from lam_engines.runtimes.openvino import library, operators
from lam_engines.runtimes.registry import AUTO, choose
from lam_export.evidence.subjects.engines import chosen_engines, engine_subject

TEXTS = ["the cat sleeps", "", "a man is reading a red book", "the dog runs " * 60]
with_operators = pytest.mark.needs("lam_operators")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user has who names no library: the package, if it is installed."""
    monkeypatch.delenv("LAM_OPERATORS")


@pytest.fixture
def not_installed(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(package: str) -> list[str]:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(operators, "requires", requires)


@with_operators
@pytest.mark.usefixtures("installed")
def test_the_package_makes_openvino_the_fastest(tiny_bundle: Path) -> None:
    bundle = Bundle(tiny_bundle)
    found = choose(AUTO, bundle)
    assert (found.runtime.name, found.runtime.variant(bundle), found.why) == ("openvino", "native operator", "")
    with load_engine(tiny_bundle) as engine, load_engine(tiny_bundle, "onnxruntime") as reference:
        assert type(engine).__name__ == "OpenVinoEngine"
        assert engine.file == "model.onnx"
        assert np.abs(engine.embed(TEXTS) - reference.embed(TEXTS)).max() <= 1e-5


@with_operators
@pytest.mark.usefixtures("installed")
def test_the_package_is_part_of_the_fingerprint(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_package = engine_subject(Bundle(tiny_bundle), "openvino").fingerprint()
    monkeypatch.setenv("LAM_OPERATORS", "")
    assert engine_subject(Bundle(tiny_bundle), "openvino").fingerprint() != with_package


@pytest.mark.usefixtures("not_installed")
def test_without_the_package_it_is_onnxruntime_and_says_why(tiny_bundle: Path) -> None:
    found = choose(AUTO, Bundle(tiny_bundle))
    assert found.runtime.name == "onnxruntime"
    assert found.why == "OpenVINO: its native operator is not installed; in a clone, run: pip install ./engines/cpp"
    with load_engine(tiny_bundle) as engine:
        assert type(engine).__name__ == "OnnxRuntimeEngine"


@pytest.mark.needs("openvino")
@pytest.mark.usefixtures("installed")
def test_a_package_for_another_openvino_is_left_alone(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "requires", lambda package: ["openvino==2026.2.0"])
    found = choose(AUTO, Bundle(tiny_bundle))
    assert found.runtime.name == "onnxruntime"
    assert "lam-operators needs openvino==2026.2.0, found" in found.why
    assert "--force-reinstall ./engines/cpp" in found.why
    with load_engine(tiny_bundle, "openvino") as engine:
        assert engine.file == INLINED_MODEL


@pytest.mark.usefixtures("installed")
def test_neither_openvino(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package may stay behind when OpenVINO goes."""

    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(operators, "requires", lambda package: ["openvino==2026.4.1"])
    monkeypatch.setattr(operators, "version", version)
    monkeypatch.setitem(sys.modules, "openvino", None)
    found = choose(AUTO, Bundle(tiny_bundle))
    assert (found.runtime.name, found.why) == (
        "onnxruntime",
        f"OpenVINO: OpenVINO is not installed; run: {installing('cpu')}",
    )


def test_a_library_that_the_user_named_must_work(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAM_OPERATORS", "nowhere.so")
    with pytest.raises(EngineError, match="expected the library of operators in LAM_OPERATORS, found no file"):
        load_engine(tiny_bundle)


def test_other_forms_run_in_onnxruntime(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle(tiny_bundle)
    other = bundle.manifest.model_copy(update={"form": "recurrent"})
    bundle.manifest = other
    found = choose(AUTO, bundle)
    assert found.runtime.name == "onnxruntime"
    assert "computes the form flat with chunks of 128 alone" in found.why


@pytest.mark.parametrize(
    ("precision", "runtime"), [(None, "onnxruntime"), ("fp32", "onnxruntime"), ("bf16", "openvino")]
)
def test_a_precision_that_only_some_run(tiny_bundle: Path, precision: str | None, runtime: str) -> None:
    assert choose(AUTO, Bundle(tiny_bundle), precision).runtime.name == runtime


@pytest.mark.needs("openvino")
def test_bf16_on_a_processor_without_it(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "instruction_sets", lambda: frozenset({"avx2", "avx512f"}))
    for engine in (AUTO, "openvino"):
        with pytest.raises(EngineError, match=r"expected a processor with instructions for bf16 .* for fp32$"):
            load_engine(tiny_bundle, engine, precision="bf16")


def test_embed_says_what_runs_and_what_is_missed(tiny_bundle: Path) -> None:
    result = lam_export("embed", tiny_bundle, "a cat", "-v")
    assert result.stderr.splitlines()[0] == "engine: ONNX Runtime (OpenVINO: LAM_OPERATORS is set to nothing)"


def test_a_precision_that_the_bundle_lacks(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"expected model\.int8\.onnx in the bundle"):
        load_engine(tiny_bundle, precision="int8")


@pytest.mark.parametrize(("precision", "device"), [("fp8", None), (None, "tpu")])
def test_what_no_runtime_has(tiny_bundle: Path, precision: str | None, device: str | None) -> None:
    with pytest.raises(EngineError, match=r"found none; there are onnxruntime fp32/fp16/int8 on cpu/cuda, openvino"):
        load_engine(tiny_bundle, precision=precision, device=device)


def test_proofs_take_it_and_record_what_ran(tiny_bundle: Path) -> None:
    bundle = Bundle(tiny_bundle)
    assert engine_subject(bundle, AUTO).info.runtime.startswith("onnxruntime ")
    assert chosen_engines(bundle, [AUTO], ["fp32"]) == [("onnxruntime", "fp32")]


def test_doctor_says_what_it_would_run(tiny_bundle: Path) -> None:
    shown = " ".join(lam_export("doctor", tiny_bundle).stdout.split())
    assert "engine auto" in shown
    assert "runs ONNX Runtime (OpenVINO: LAM_OPERATORS is set to nothing)" in shown
