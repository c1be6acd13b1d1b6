"""The pipelines to copy: of their forge's schema, their shell parses, and ``lam-export`` knows what they call."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from command_line import check_command
from pages import ROOT, programs

FILES = {"github-actions.yml": "vendor.github-workflows", "gitlab-ci.yml": "vendor.gitlab-ci"}
CI = ROOT / "examples" / "ci"


def scripts(node: Any) -> list[str]:
    """Every piece of shell, wherever it stands."""
    if isinstance(node, dict):
        found = []
        for key, value in node.items():
            if key in ("run", "script", "after_script") and isinstance(value, str | list):
                found += [value] if isinstance(value, str) else value
            else:
                found += scripts(value)
        return found
    return [script for item in node for script in scripts(item)] if isinstance(node, list) else []


@pytest.mark.needs("check_jsonschema")
@pytest.mark.parametrize("name", FILES)
def test_it_is_of_its_schema(name: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", FILES[name], str(CI / name)]
    if name == "gitlab-ci.yml":
        command += ["--data-transform", "gitlab-ci"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", FILES)
def test_its_commands_exist(name: str) -> None:
    called = []
    for script in scripts(yaml.safe_load((CI / name).read_text(encoding="utf-8"))):
        shell = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert shell.returncode == 0, shell.stderr
        for line in script.replace("\\\n", " ").splitlines():
            for program, *arguments in programs(line) if "lam-export " in line else ():
                if program == "lam-export":
                    check_command(arguments)
                    called.append(arguments[0])
    assert called == ["onnx", "report", "gate"]


@pytest.mark.parametrize("name", FILES)
def test_it_posts_what_a_report_writes(name: str) -> None:
    text = (CI / name).read_text(encoding="utf-8")
    assert "cat bundle/reports/accuracy/report.md > comment.md" in text
    assert "cat bundle/reports/history.md >> comment.md" in text
    assert text.count("comment.md") >= 3


@pytest.mark.parametrize("name", FILES)
def test_every_variable_is_set_at_the_top_or_by_the_forge(name: str) -> None:
    content = yaml.safe_load((CI / name).read_text(encoding="utf-8"))
    used = {found for script in scripts(content) for found in re.findall(r"\$\{?([A-Za-z_]\w*)", script)}
    ours = {found for found in used if found.isupper() and not found.startswith(("GITHUB_", "CI_", "GH_"))}
    told = {"LAM_TOKEN"}  # of the project's settings, as the file says
    set_there = {
        word for step in content.get("jobs", {}).get("prove", {}).get("steps", ()) for word in step.get("env", {})
    }
    assert ours - told - set_there <= set(content.get("env") or content["variables"])
