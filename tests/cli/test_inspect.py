"""``inspect`` of a bundle, ``doctor``, and lists that are given in two ways."""

import json
import shutil
from pathlib import Path

import pytest
from commands import lam_export, refusal

from lam_engines.bundles.bundle import Bundle
from lam_engines.contract import MODEL


def test_inspect_describes_a_bundle(tiny_bundle: Path) -> None:
    found = json.loads(lam_export("inspect", tiny_bundle, "--json").stdout)
    opened = Bundle(tiny_bundle)
    assert (found["kind"], found["form"], found["chunk_size"]) == ("encoder", "flat", 128)
    assert found["manifest_sha256"] == opened.manifest_sha256
    assert found["files"] == {name: entry.model_dump() for name, entry in opened.manifest.files.items()}
    assert found["graphs"][MODEL]["parity"] == opened.manifest.parity[MODEL]
    assert found["graphs"][MODEL]["precision"] == "fp32"
    assert found["plans"] == {}
    assert found["runs_here"]["auto"].startswith("ONNX Runtime (OpenVINO: ")  # conftest.py switches the operators off
    assert found["runs_here"]["onnxruntime"].startswith("yes: fp32 in ONNX Runtime ")
    assert found["runs_here"]["tensorrt"].startswith("no: ")
    shown = lam_export("inspect", tiny_bundle).stdout
    for part in ("form flat", opened.manifest.checkpoint.sha256, "max_abs", "runs here: onnxruntime", "2,000 tokens"):
        assert part in shown


def test_inspect_describes_a_memory(tiny_memory: Path) -> None:
    found = json.loads(lam_export("inspect", tiny_memory, "--json").stdout)
    assert (found["kind"], found["runs_here"]) == ("memory", {})
    assert "of" in lam_export("inspect", tiny_memory).stdout


def test_inspect_checks_a_bundles_hashes(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    with (bundle / MODEL).open("r+b") as file:
        file.write(b"\xff")
    assert "model.onnx is not the file that the bundle was made with" in refusal("inspect", bundle)
    assert "expected --teacher with a checkpoint" in refusal("inspect", tiny_bundle, "--teacher", tmp_path)


def test_doctor_as_json(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAM_OPERATORS", raising=False)
    found = json.loads(lam_export("doctor", tiny_bundle, "--json").stdout)
    engines = {finding["what"]: finding for finding in found["engines"]}
    assert engines["engine onnxruntime, cpu"]["works"]
    assert "embedded a text: 32 numbers" in engines["engine onnxruntime, cpu"]["detail"]
    tools = {finding["what"]: finding for finding in found["tools"]}
    for named in ("Triton's server", "native operator of OpenVINO", "C++ engine, lam-embed", "GPU kernels"):
        assert tools[named]["detail"]
    shown = lam_export("doctor").stdout
    assert all(f"{'✓' if tool['works'] else '✗'} {tool['what']}" in shown for tool in tools.values())


def test_doctor_marks_no_gpu_kernel_without_a_gpu() -> None:
    from lam_engines.gpu import gpu_name

    tools = {finding["what"]: finding for finding in json.loads(lam_export("doctor", "--json").stdout)["tools"]}
    assert tools["GPU kernels"]["works"] == bool(gpu_name())


def test_doctor_takes_a_wrong_operator_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAM_OPERATORS", "/nowhere/liblam_operators.so")
    tools = {finding["what"]: finding for finding in json.loads(lam_export("doctor", "--json").stdout)["tools"]}
    assert not tools["native operator of OpenVINO"]["works"]


@pytest.mark.parametrize(
    ("command", "option", "bad"),
    [
        (("onnx", "nowhere", "-o", "out"), "--precision", "expected precision fp32, fp16 or int8, found fp5"),
        (("onnx", "nowhere", "-o", "out"), "--output", "expected --output token_embeddings, found fp5, int8"),
        (("bench", "BUNDLE", "-o", "out"), "--engine", "expected engine "),
        (("profile", "BUNDLE", "-o", "out"), "--engine", "expected engine "),
        (("profile", "BUNDLE", "-o", "out"), "--shape", "found 'int8'"),
        (("kernels",), "--target", "found 'int8'"),
    ],
)
def test_lists_are_given_with_commas_or_repeated(
    command: tuple[str, ...], option: str, bad: str, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [tiny_bundle if part == "BUNDLE" else part for part in command]
    with_commas = refusal(*arguments, option, "int8,fp5")
    assert bad in with_commas
    assert (
        with_commas == refusal(*arguments, option, "int8", option, "fp5") == refusal(*arguments, option, "int8,,fp5,")
    )


@pytest.mark.heavy
def test_onnx_says_what_it_has_not_checked(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    """A graph in int8 passes, and ``report`` may still fail it: the end must not look like that verdict."""
    for command in (
        ("onnx", tiny_checkpoint_folder, "-o", tmp_path / "a b", "--precision", "int8"),
        ("validate", tmp_path / "a b", "--checkpoint", tiny_checkpoint_folder),
    ):
        shown = lam_export(*command).stdout
        assert "made-up cases, of 1 to 2,000 tokens." in shown
        assert "Not checked: nearest neighbours and benchmark scores on real texts" in shown
        assert f"lam-export report '{tmp_path}/a b' --checkpoint {tiny_checkpoint_folder}" in shown
