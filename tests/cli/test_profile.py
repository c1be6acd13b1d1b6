"""``lam-export profile``: figures, files, exit codes, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
from commands import lam_export, refusal

from lam_export.bench.profile.schema import Profile

SHORT = ("--seconds", 0, "--threads", 1)


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_parts_and_files(bundle: Path) -> None:
    result = lam_export("profile", bundle, *SHORT, "--shape", "1x20", "--shape", "3x7", "--layers")
    assert result.returncode == 0, result.stderr
    assert "ONNX Runtime fp32, 1 x 20 tokens: ms by layer" in result.stdout
    assert "What profiling costs" in result.stdout
    folder = bundle / "reports" / "profile"
    assert sorted(path.name for path in folder.iterdir()) == ["profile.html", "profile.json", "profile.md"]
    found = Profile.model_validate_json((folder / "profile.json").read_text(encoding="utf-8"))
    assert [result.shape for result in found.results] == ["1 x 20", "3 x 7"]
    assert {len(result.plain) for result in found.results} == {len(result.profiled) for result in found.results} == {5}
    assert found.threads == 1


@pytest.mark.needs("openvino")
@pytest.mark.heavy
def test_engines_side_by_side(bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    engines = ("--engine", "pytorch", "--engine", "openvino", "--checkpoint", tiny_checkpoint_folder)
    result = lam_export("profile", bundle, *SHORT, "--shape", "1x20", *engines, "-o", tmp_path / "out", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    names = [subject["name"] for subject in found["subjects"]]
    assert names[0] == "OpenVINO fp32"
    assert names[1].startswith("PyTorch float32")
    assert all(result["operations"]["FFN"] > 0 for result in found["results"]), "counted in ONNX Runtime's graph"
    assert (tmp_path / "out" / "profile.html").is_file()
    assert not (bundle / "reports").exists()


@pytest.mark.heavy
def test_wrong_embeddings_get_no_times(bundle: Path, tmp_path: Path) -> None:
    """The checkpoint has other weights."""
    other = tiny.write_checkpoint(tmp_path / "lam", tensors=tiny.lam_tensors(seed=1))
    options = ("--shape", "1x20", "--engine", "pytorch", "--checkpoint", other)
    result = lam_export("profile", bundle, *SHORT, *options)
    assert result.returncode == 2, result.stderr
    assert "Some embeddings are wrong and were not timed: PyTorch float32" in result.stdout
    assert "of arithmetic" not in result.stdout


def test_what_is_refused(bundle: Path, tmp_path: Path) -> None:
    assert "expected a bundle" in refusal("profile", tmp_path / "none")
    assert "expected texts x tokens like --shape 32x128, found '128'" in refusal("profile", bundle, "--shape", "128")
    assert "found '0x5'" in refusal("profile", bundle, "--shape", "0x5")
    assert "--precision int8" in refusal("profile", bundle, "--precision", "int8")
    assert "expected engine auto, onnxruntime, openvino, tensorrt or tensorrt-rtx, found 'triton'" in refusal(
        "profile", bundle, "--engine", "triton"
    )
    assert "name it: --checkpoint" in refusal("profile", bundle, "--engine", "pytorch")
    (tmp_path / "file").touch()
    assert "expected a folder" in refusal("profile", bundle, "-o", tmp_path / "file")
