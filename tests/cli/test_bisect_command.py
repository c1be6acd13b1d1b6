"""``lam-export validate --bisect``, and the export that it proposes."""

import re
import shlex
from pathlib import Path

import pytest
from commands import lam_export

from lam_engines.bundles.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(tiny_checkpoint_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bisect") / "bundle"
    made = lam_export("onnx", tiny_checkpoint_folder, "-o", path, "--precision", "fp16")
    assert made.returncode == 0, made.stderr
    return path


@pytest.mark.heavy
def test_the_proposal_can_be_applied_and_holds(bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    # Stricter than half precision holds, and not stricter than single precision does.
    strict = ("--max-abs", "1e-4", "--cosine", "0.99999999")
    found = lam_export("validate", bundle, "--checkpoint", tiny_checkpoint_folder, *strict, "--bisect")
    assert found.returncode == 2, found.stderr
    assert "alone in float16" in found.stdout
    (command,) = re.findall(r"^Apply it: lam-export (.*)$", found.stdout, flags=re.MULTILINE)
    words = shlex.split(command)
    words[words.index("-o") + 1] = str(tmp_path / "better")
    assert words.count("--keep-fp32") >= 1
    applied = lam_export(*words)
    assert applied.returncode == 0, applied.stderr
    again = lam_export("validate", tmp_path / "better", "--checkpoint", tiny_checkpoint_folder, *strict)
    assert again.returncode == 0, again.stdout
    sizes = [Bundle(b).manifest.files["model.fp16.onnx"].bytes for b in (bundle, tmp_path / "better")]
    assert sizes[0] < sizes[1]


@pytest.mark.heavy
def test_nothing_to_propose(bundle: Path, tiny_checkpoint_folder: Path) -> None:
    found = lam_export("validate", bundle, "--checkpoint", tiny_checkpoint_folder, "--bisect")
    assert found.returncode == 0, found.stderr
    assert "Nothing need stay in float32" in found.stdout


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--keep-fp32", "layers.0.ffn_in"), "expected precision fp16 with parts to keep in fp32"),
        (("--precision", "fp16", "--keep-fp32", "layers.7.ffn_in"), "expected parts like layers.0.form.in_proj"),
    ],
)
def test_parts_that_cannot_be_kept(
    arguments: tuple[str, ...], line: str, tiny_checkpoint_folder: Path, tmp_path: Path
) -> None:
    result = lam_export("onnx", tiny_checkpoint_folder, "-o", tmp_path / "bundle", *arguments)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: {line}")
    assert not (tmp_path / "bundle").exists()
