"""``scripts/check_gpu`` on a machine without a GPU: every part at tiny sizes, and what happens when it is cut off."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from gpu_evidence.__main__ import PARTS, run
from gpu_evidence.minilm import MiniLm
from gpu_evidence.record import Record

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_gpu"
ABSENT = ("typer", "rich", "pydantic", "polygraphy", "onnxruntime", "onnxscript", "onnx_ir", "transformers", "scipy")
"""What a machine with a GPU may lack."""

pytestmark = pytest.mark.needs("triton")


def environment(folder: Path, *absent: str) -> dict[str, str]:
    """Of the script, in this Python, without some packages."""
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({absent!r}))\n")
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return without | {"PYTHON": sys.executable, "PYTHONPATH": str(folder)}


def found(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "gpu_tiny.json").read_text())["parts"]


@pytest.mark.slow
def test_every_part_without_what_a_gpu_machine_lacks(tmp_path: Path) -> None:
    command = [SCRIPT, "--tiny", "--output", tmp_path]
    lacking = environment(tmp_path, *ABSENT)
    done = subprocess.run(command, env=lacking, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = found(tmp_path)
    assert {name: part["state"] for name, part in parts.items()} == dict.fromkeys(PARTS, "whole")
    assert {row["outcome"] for row in parts["tests"]["rows"]} == {"skipped"}
    assert "pydantic" in parts["plans"]["rows"][-1]["skipped"]

    done = subprocess.run([*command, "--part", "plans"], env=environment(tmp_path), capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr
    again = found(tmp_path)
    assert again["kernels"] == parts["kernels"], "a part that is not run again stays"
    compared = [row for row in again["plans"]["rows"] if row["engine"] == "onnxruntime"]
    assert compared
    assert all(row["ms"] > 0 for row in compared)
    page = (tmp_path / "gpu_tiny.md").read_text()
    assert all(title in page for title, _ in PARTS.values())


@pytest.mark.slow
def test_what_was_found_stays_when_it_is_stopped(tmp_path: Path) -> None:
    command = [SCRIPT, "--tiny", "--output", tmp_path, "--part", "kernels"]
    process = subprocess.Popen(command, env=environment(tmp_path), stdout=subprocess.DEVNULL)
    place = tmp_path / "gpu_tiny.json"
    while process.poll() is None and not (place.exists() and len(found(tmp_path)["kernels"]["rows"]) > 1):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    part = found(tmp_path)["kernels"]
    assert part["state"] == "cut off"
    assert len(part["rows"]) > 1


@pytest.mark.heavy
@pytest.mark.parametrize(("part", "seconds", "state"), [("kernels", 0.1, "cut off after 0 s"), ("no", 60, "broke off")])
def test_a_part_that_hangs_or_breaks_ends_alone(part: str, seconds: float, state: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    (row,) = run(part, seconds)
    assert row["ended"].startswith(state)


def test_a_row_that_is_wrong_is_on_the_page(tmp_path: Path) -> None:
    record = Record(tmp_path, {"device": "NVIDIA X (1)", "versions": {}}, "NVIDIA X (1)", keep=False)
    record.begin("kernels", "Kernels", "abc")
    record.add("kernels", {"table": "A | B", "us": 1234.5678, "wrong": "more than 1e-03"})
    record.end("kernels", "whole, 1 of 1 rows wrong", 1.23)
    assert record.json.name == "gpu_nvidia_x_1.json"
    assert "| 1,235 | more than 1e-03 |" in record.markdown.read_text()


@pytest.mark.heavy
def test_where_there_is_no_gpu_or_no_torch_it_says_so(tmp_path: Path) -> None:
    def refusal(*absent: str) -> str:
        done = subprocess.run([SCRIPT], env=environment(tmp_path, *absent), capture_output=True, text=True)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        return line

    assert "found no torch, triton; install them" in refusal("torch", "triton")
    if not torch.cuda.is_available():
        assert refusal().endswith("run: scripts/check_gpu --tiny")


@pytest.mark.heavy
@pytest.mark.needs("transformers")
def test_minilm_is_transformers_bert() -> None:
    from transformers import BertConfig, BertModel

    tensors = tiny.bert_tensors()
    config = BertConfig(
        vocab_size=tiny.VOCAB,
        hidden_size=tiny.HIDDEN,
        num_hidden_layers=tiny.LAYERS,
        num_attention_heads=tiny.HEADS,
        intermediate_size=tiny.FFN,
        max_position_embeddings=tiny.ROWS,
    )
    bert = BertModel(config, add_pooling_layer=False).eval()
    bert.load_state_dict({name: t for name, t in tensors.items() if not name.startswith("pooler")}, strict=False)
    ids = torch.randint(tiny.VOCAB, (3, tiny.ROWS), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(bert(ids).last_hidden_state.mean(1), dim=-1)
        torch.testing.assert_close(MiniLm(tensors, tiny.HEADS)(ids), expected, rtol=0, atol=1e-6)
