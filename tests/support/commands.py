"""``lam-export`` as a user runs it: in a process of its own."""

import os
import subprocess
import sys

MAIN = "import sys; sys.argv[0] = 'lam-export'; from lam_export.cli import main; main()"


def lam_export(*arguments: object, stdin: str = "", code: str = MAIN) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, in a terminal so wide that no message is cut into lines."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "400", "NO_COLOR": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment)


def refusal(*arguments: object, stdin: str = "") -> str:
    """The one line on standard error with which a command refuses."""
    result = lam_export(*arguments, stdin=stdin)
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("✓")]
    assert line.startswith("error: ")
    assert "Traceback" not in result.stderr
    return line
