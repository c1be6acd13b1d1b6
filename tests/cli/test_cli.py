"""The commands as a user runs them: real processes, exit codes, one clear line for every mistake."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import MAIN, lam_export, lam_export_process, refusal

from lam_engines.errors import installing

COMMANDS = (
    *("demo", "inspect", "onnx", "memory", "validate", "report", "gate", "bench", "profile", "trt", "embed", "triton"),
    *("serve", "web", "kernels", "doctor", "huggingface", "ray-job"),
)


def test_help_names_every_command() -> None:
    result = lam_export("--help")
    assert result.returncode == 0
    assert all(command in result.stdout for command in COMMANDS)
    assert "Exit codes" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    result = lam_export(command, "--help")
    assert result.returncode == 0
    assert f"lam-export {command}" in result.stdout.split("Examples:")[1]


def test_version() -> None:
    from lam_export import __version__

    assert lam_export("--version").stdout == f"lam-export {__version__}\n"


def test_from_checkpoint_to_embeddings(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    exported = lam_export("onnx", tiny_checkpoint_folder, "-o", bundle, "--output", "token_embeddings")
    assert exported.returncode == 0, exported.stderr
    assert "2000 tokens" in exported.stdout
    assert "Wrote" in exported.stdout
    assert "token_embeddings" in exported.stdout

    validated = lam_export("validate", bundle, "--checkpoint", tiny_checkpoint_folder, "--json")
    assert validated.returncode == 0, validated.stderr
    assert json.loads(validated.stdout)["passed"] is True

    strict = lam_export("validate", bundle, "--checkpoint", tiny_checkpoint_folder, "--max-abs", "1e-12")
    assert strict.returncode == 2
    assert "FAIL" in strict.stdout

    again = refusal("onnx", tiny_checkpoint_folder, "-o", bundle)
    assert "--force" in again


def test_embed_to_files(tiny_bundle: Path, tmp_path: Path) -> None:
    texts = ["the red dog", "", "a big house by the water", "[bold]not markup[/]"]
    source = tmp_path / "texts.txt"
    source.write_text("\n".join(texts) + "\n", encoding="utf-8")
    from_file = lam_export("embed", tiny_bundle, "--input", source, "-o", tmp_path / "a.npy")
    assert from_file.returncode == 0, from_file.stderr
    from_pipe = lam_export("embed", tiny_bundle, "-i", "-", "-o", tmp_path / "b.jsonl", stdin=source.read_text())
    assert from_pipe.returncode == 0, from_pipe.stderr
    a = np.load(tmp_path / "a.npy")
    rows = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == texts
    assert np.array_equal(a, np.array([row["embedding"] for row in rows], dtype=np.float32))
    assert np.linalg.norm(a, axis=1) == pytest.approx(1, abs=1e-6)

    shown = lam_export("embed", tiny_bundle, *texts)
    assert shown.returncode == 0, shown.stderr
    assert "[bold]not markup[/]" in shown.stdout
    assert "nearest" in shown.stdout

    assert "--force" in refusal("embed", tiny_bundle, "x", "-o", tmp_path / "a.npy")
    assert np.array_equal(np.load(tmp_path / "a.npy"), a)


@pytest.mark.heavy
def test_embedding_loads_no_torch(tiny_bundle: Path) -> None:
    code = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, 'onnx' in sys.modules)); {MAIN}"
    result = lam_export_process("embed", tiny_bundle, "a text", code=code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "False False"


def test_inspect(tiny_checkpoint_folder: Path) -> None:
    facts = json.loads(lam_export("inspect", tiny_checkpoint_folder, "--json").stdout)
    assert facts["config"]["num_attention_heads"] == 2
    assert facts["flux"] == "per head"
    shown = lam_export("inspect", tiny_checkpoint_folder).stdout
    assert facts["sha256"] in shown


def test_doctor(tiny_bundle: Path) -> None:
    result = lam_export("doctor", tiny_bundle)
    assert result.returncode == 0
    assert "embedded a text: 32 numbers" in result.stdout
    assert installing("gpu") in result.stdout


MISTAKES = {
    "no such command": (["embd"], "Did you mean 'embed'"),
    "no such option": (["doctor", "--colour"], "--colour"),
    "missing argument": (["onnx"], "--help"),
    "no such checkpoint": (["onnx", "nowhere", "-o", "out"], "found nothing at nowhere"),
    "no such bundle": (["embed", "nowhere", "text"], "lam-export onnx CHECKPOINT -o nowhere"),
    "no text": (["embed", "nowhere"], "--input FILE"),
    "text and file": (["embed", "nowhere", "text", "--input", "x.txt"], "--input FILE"),
    "no such form": (["onnx", "nowhere", "-o", "out", "--form", "round"], "flat"),
    "no such output": (["onnx", "nowhere", "-o", "out", "--output", "logits"], "token_embeddings"),
    "opset out of range": (["onnx", "nowhere", "-o", "out", "--opset", "7"], "'--opset'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(mistake: str) -> None:
    arguments, expected = MISTAKES[mistake]
    assert expected in refusal(*arguments)


def test_broken_files_are_one_clear_line(tiny_bundle: Path, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "model.safetensors"
    truncated.write_bytes((tiny_checkpoint_folder / "model.safetensors").read_bytes()[:5000])
    assert "truncated" in refusal("inspect", truncated)
    assert "truncated" in refusal("onnx", truncated, "-o", tmp_path / "bundle")
    assert "is no bundle" in refusal("onnx", tiny_checkpoint_folder, "-o", tmp_path)
    csv = tmp_path / "texts.csv"
    csv.write_text("title,body\na,b\n")
    assert "'title', 'body'" in refusal("embed", tiny_bundle, "--input", csv, "-o", tmp_path / "x.npy")
    assert ".parquet" in refusal("embed", tiny_bundle, "x", "-o", tmp_path / "x.pickle")
    assert "CUDAExecutionProvider" in refusal("embed", tiny_bundle, "x", "--device", "cuda")
    assert "no_such" in refusal("embed", tmp_path / "no_such", "x")


@pytest.mark.heavy
def test_names_are_no_markup(tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a [bold]b[" / "c[red] d"
    odd.parent.mkdir()
    shutil.copytree(tiny_checkpoint_folder, odd)
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps({**config, "hidden_size": "[/b] x"}))
    shown = lam_export("inspect", odd)
    assert shown.returncode == 0, shown.stderr
    assert "[/b] x" in shown.stdout
    assert str(odd) in shown.stdout
    exported = lam_export("onnx", odd, "-o", odd.parent / "[/]out")
    assert exported.returncode == 0, exported.stderr
    assert f"lam-export embed '{odd.parent / '[/]out'}'" in exported.stdout


@pytest.mark.heavy
def test_an_output_that_is_not_unicode(tiny_bundle: Path) -> None:
    code = f"import os, sys; sys.stdout.reconfigure(encoding='ascii', errors='strict'); {MAIN}"
    result = lam_export_process("embed", tiny_bundle, "héllo", code=code)
    assert result.returncode == 0, result.stderr
    assert "h?llo" in result.stdout


def test_validate_with_the_checkpoint_of_another_model(tiny_bundle: Path, tmp_path: Path) -> None:
    import tiny

    tensors = tiny.lam_tensors()
    del tensors["embeddings.position_embeddings.weight"]
    tensors["embeddings.position_embeddings.weight"] = torch.zeros(tiny.ROWS + 1, tiny.HIDDEN)
    other = tiny.write_checkpoint(tmp_path / "other", tensors=tensors)
    assert "they are of different models" in refusal("validate", tiny_bundle, "--checkpoint", other)


@pytest.mark.heavy
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_export_leaves_nothing(signum: int, tiny_checkpoint_folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", MAIN, "onnx", str(tiny_checkpoint_folder), "-o", str(tmp_path / "bundle")]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells ignore it in background jobs
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[signum], stderr
    assert "error: stopped; no file was left half written" in stderr
    assert "Traceback" not in stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.heavy
@pytest.mark.needs("triton")
def test_kernels(kernel_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(kernel_cache))
    table = lam_export("kernels", "--target", "sm_90")
    assert table.returncode == 0, table.stderr
    rows = [line.split("│") for line in table.stdout.splitlines() if "sm_90" in line]
    assert [row[2].split()[0] for row in rows] == ["rows16", "rows32", "rows64"]
    assert [row[4].strip() for row in rows if "default" in row[2]] == ["0"]
    assert "sm_80, sm_86" in refusal("kernels", "--target", "sm_70")


@pytest.mark.heavy
def test_kernels_without_triton() -> None:
    hidden = "import sys, importlib.util as u; find = u.find_spec\n"
    hidden += "u.find_spec = lambda name, *a: None if name == 'triton' else find(name, *a)\n"
    result = lam_export_process("kernels", code=hidden + MAIN)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: triton not installed here; run: pip install")
    assert "Traceback" not in result.stderr
