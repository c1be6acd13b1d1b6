"""What CONTRIBUTING.md says is so. The runtime that it adds is tested in ``tests/contract/test_a_new_runtime.py``."""

import pytest
from pages import ROOT


@pytest.mark.needs("yaml")
def test_hooks_are_the_tools_of_the_check() -> None:
    import yaml

    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert local["repo"] == "local", "nothing is fetched"
    called = {tuple(hook["entry"].removeprefix(".venv/bin/").split()[:2]) for hook in local["hooks"]}
    check = (ROOT / "scripts" / "check").read_text(encoding="utf-8")
    assert called == {("ruff", "check"), ("ruff", "format"), ("mypy",), ("pytest", "tests/test_architecture.py")}
    assert all(" ".join(words) in check for words in called)
