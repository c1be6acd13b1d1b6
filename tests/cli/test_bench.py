"""``lam-export bench``: figures, files, exit codes, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from commands import MAIN, lam_export, refusal

from lam_export.bench.speed.schema import Benchmark

SHORT = ("--quick", "--seconds", 0, "--threads", 1, "--lengths")


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.mark.heavy
def test_every_engine_is_timed(bundle: Path) -> None:
    result = lam_export("bench", bundle, *SHORT, "4,20")
    assert result.returncode == 0, result.stderr
    assert "One text, by length" in result.stdout
    assert "1 x 20 tokens: 3 runs each" in result.stderr
    folder = bundle / "reports" / "bench"
    assert sorted(path.name for path in folder.iterdir()) == ["bench.html", "bench.json", "bench.md"]
    found = Benchmark.model_validate_json((folder / "bench.json").read_text(encoding="utf-8"))
    assert [shape.name for shape in found.shapes[:3]] == ["1 x 4", "1 x 20", "32 x 32"]
    assert found.subjects[0].name == "ONNX Runtime fp32"
    assert len(found.results) == len(found.subjects) * len(found.shapes)
    assert {result.status for result in found.results} == {"measured"}
    assert found.threads == 1
    assert found.tools["lam-export"]


@pytest.mark.heavy
def test_against_pytorch_and_another_bundle(bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    held = ("--against", "pytorch", "--checkpoint", tiny_checkpoint_folder, "--against", other)
    result = lam_export("bench", bundle, *SHORT, 4, "--engine", "onnxruntime", *held, "-o", tmp_path / "out", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["baselines"] == ["PyTorch float32", "other: ONNX Runtime fp32"]
    assert found["reference"].startswith("PyTorch float32 (torch ")
    first = found["results"][0]
    assert set(first["times"]["times_as_fast"]) == set(found["baselines"])
    assert first["max_abs"] > 0, "compared with PyTorch, not with itself"
    assert (tmp_path / "out" / "bench.html").is_file()
    assert not (bundle / "reports").exists()


@pytest.mark.needs("openvino")
@pytest.mark.needs("transformers")
@pytest.mark.heavy
def test_against_a_transformer(bundle: Path, tiny_teacher_folder: Path) -> None:
    held = ("--against", "minilm-onnx", "--against", "minilm-openvino", "--transformer", tiny_teacher_folder)
    result = lam_export("bench", bundle, *SHORT, "4,20", "--engine", "onnxruntime", *held, "--json")
    assert result.returncode == 0, result.stderr
    found = Benchmark.model_validate_json(result.stdout)
    assert found.baselines == ("bert in ONNX Runtime", "bert in OpenVINO")
    for baseline in found.baselines:
        theirs = {result.shape: result for result in found.results if result.subject == baseline}
        assert {result.status for result in theirs.values()} == {"measured"}
        assert {result.max_abs for result in theirs.values()} == {None}
        assert theirs["1 x 4"].note == ""
        assert "the transformer's 16 positions" in theirs["1 x 20"].note


@pytest.mark.heavy
def test_wrong_embeddings_get_no_times(bundle: Path, tmp_path: Path) -> None:
    """The reference is a checkpoint of other weights."""
    other = tiny.write_checkpoint(tmp_path / "lam", tensors=tiny.lam_tensors(seed=1))
    result = lam_export("bench", bundle, *SHORT, 4, "--engine", "onnxruntime", "--checkpoint", other)
    assert result.returncode == 2, result.stderr
    assert "Some embeddings are wrong and were not timed: ONNX Runtime fp32." in result.stdout
    assert "embeddings differ: max-abs" in result.stdout
    assert "by length" not in result.stdout


def test_what_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert "expected a bundle" in refusal("bench", tmp_path / "none")
    assert "expected numbers of tokens" in refusal("bench", bundle, "--lengths", "long")
    assert "found fp32 in onnxruntime" in refusal("bench", bundle, "--precision", "int8")
    assert "name it: --checkpoint" in refusal("bench", bundle, "--against", "pytorch")
    assert "or a bundle's folder, found 'tensorflow'" in refusal("bench", bundle, "--against", "tensorflow")
    held = ("--against", "minilm-onnx", "--transformer", tmp_path)
    assert "expected a BERT" in refusal("bench", bundle, *held)
    (tmp_path / "file").touch()
    assert "expected a folder at" in refusal("bench", bundle, "-o", tmp_path / "file")


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_leaves_nothing_behind(bundle: Path) -> None:
    command = [sys.executable, "-c", MAIN, "bench", str(bundle), "--lengths", "16", "--seconds", "600"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        while line and "loading and comparing" not in line:
            line = process.stderr.readline()
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.rstrip().endswith("error: stopped; no file was left half written")
    assert "Traceback" not in stderr
    assert not (bundle / "reports").exists()
    with pytest.raises(ProcessLookupError):  # nobody of the group is left
        os.killpg(process.pid, 0)
