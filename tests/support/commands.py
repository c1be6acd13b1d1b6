"""``lam-export`` as a user runs it: arguments in; exit code, output and errors out.

Most tests run it inside their own process (:func:`lam_export`), because starting Python, torch and ONNX takes seconds.
What is about the process itself (what is imported, signals, a missing package) starts one (:func:`lam_export_process`).
"""

import io
import os
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

WIDE = {"COLUMNS": "400", "NO_COLOR": "1"}
"""A terminal so wide that no message is cut into lines."""
MAIN = "import sys; sys.argv[0] = 'lam-export'; from lam_export.cli import main; main()"


def lam_export(*arguments: object, stdin: str = "", stdout: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, in this process, with standard streams of its own: those of libraries and children too.

    What it would leave behind in the process is put back: environment, folder, handler of SIGTERM, processors.
    ``stdout`` is the descriptor of another standard output. With ``--ray`` it gets a process: Ray ends the one that it
    is used in, a minute after a cluster that it still asks is gone.
    """
    if "--ray" in arguments:
        assert stdout is None
        return lam_export_process(*arguments, stdin=stdin)
    command = ["lam-export", *map(str, arguments)]
    with _as_it_was(command), _streams(stdin, stdout) as (output, errors):
        try:
            from lam_export.cli import _console, main

            # They may have been made, in this process, for a narrower terminal.
            _console.out.width = _console.err.width = int(WIDE["COLUMNS"])
            main()
            code: object = 0
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
        for file in (output, errors):
            file.seek(0)
        assert isinstance(code, int), code
        return subprocess.CompletedProcess(command, code, output.read().decode(), errors.read().decode())


def lam_export_process(*arguments: object, stdin: str = "", code: str = MAIN) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end in a process of its own; ``code`` is what Python runs there."""
    environment = {**os.environ, **WIDE, "PYTHONPATH": os.pathsep.join(sys.path)}
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


@contextmanager
def _as_it_was(arguments: list[str]) -> Iterator[None]:
    names, environment, folder = sys.argv, dict(os.environ), os.getcwd()
    handlers, processors = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP)}, os.sched_getaffinity(0)
    sys.argv = arguments
    os.environ |= WIDE
    try:
        # Warnings are what a user meets who runs Python without options: those for programmers are not shown.
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)
            warnings.showwarning = _show
            yield
    finally:
        sys.argv = names
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.sched_setaffinity(0, processors)


def _show(message: object, category: type, filename: str, lineno: int, *rest: object) -> None:
    sys.stderr.write(warnings.formatwarning(str(message), category, filename, lineno))


@contextmanager
def _streams(given: str, stdout: int | None) -> Iterator[tuple[io.BufferedRandom, io.BufferedRandom]]:
    """The three standard streams as files: for Python, for libraries, and for children. Yields the last two."""
    before = sys.stdin, sys.stdout, sys.stderr
    for stream in before[1:]:
        stream.flush()
    kept = [os.dup(number) for number in (0, 1, 2)]
    with tempfile.TemporaryFile() as input_, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        input_.write(given.encode(errors="surrogateescape"))
        input_.seek(0)
        try:
            for number, file in enumerate((input_, output, errors)):
                os.dup2(file.fileno(), number)
            if stdout is not None:
                os.dup2(stdout, 1)
            sys.stdin, sys.stdout, sys.stderr = _text(0, "r"), _text(1, "w"), _text(2, "w")
            yield output, errors  # type: ignore[misc]
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
            for number, copy in enumerate(kept):
                os.dup2(copy, number)
                os.close(copy)


def _text(number: int, mode: str) -> TextIO:
    return open(number, mode, encoding="utf-8", closefd=False)  # type: ignore[return-value]
