"""``lam-export``: one thin module per command."""

import signal
import sys
from importlib import import_module
from pathlib import Path

import typer

from lam_engines.errors import LamError
from lam_export.version import __version__

from ._streams import StandardOutputError, watch_streams

PASSED, COULD_NOT_RUN, FAILED, HUNG_UP, INTERRUPTED, NOT_READ, TERMINATED = 0, 1, 2, 129, 130, 141, 143
"""Exit codes: success; bad input or usage, or something missing; a failed check; SIGHUP; Ctrl-C; nobody reads
standard output any more, as other programs end by SIGPIPE; SIGTERM."""


def main() -> None:
    """Run a command. A user's mistake prints one line on standard error, never a traceback, and exits with 1."""
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _terminated)
    watch_streams()
    try:
        _check_folder()
        code = _app()(standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except SystemExit as stop:
        code = stop.code
    except LamError as error:
        unread = isinstance(error, StandardOutputError) and error.unread
        code = NOT_READ if unread else _say(str(error), COULD_NOT_RUN)
    except (MemoryError, OSError) as error:
        code = _say(f"{type(error).__name__}: {error}", COULD_NOT_RUN)
    except Exception as error:
        if not hasattr(error, "format_message"):  # click's usage errors; typer may carry a click of its own
            raise
        hint = getattr(getattr(error, "ctx", None), "command_path", "lam-export")
        code = _say(f"{error.format_message()} See: {hint} --help", COULD_NOT_RUN)
    if code in (HUNG_UP, INTERRUPTED, TERMINATED):
        _say("stopped; no file was left half written", code)
    sys.exit(code if isinstance(code, int) else PASSED)


_COMMANDS = (
    *("demo", "inspect", "onnx", "memory", "validate", "report", "gate", "bench", "profile", "trt", "huggingface"),
    *("embed", "ray-job", "triton", "serve", "web", "kernels", "doctor"),
)
"""In the order of the help. Each is a module of this name, with a function ``run`` and ``EXAMPLES``."""


def _app() -> typer.Typer:
    from ._command import Command

    app = typer.Typer(
        name="lam-export",
        help="Turn a trained LAM checkpoint into verified production artefacts.",
        epilog="Exit codes: 0 success; 1 could not run (bad input or usage, a missing tool); 2 a check failed.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def version(
        show: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
    ) -> None:
        if show:
            typer.echo(f"lam-export {__version__}")
            raise typer.Exit

    for name in _COMMANDS:
        command = import_module(f".{name.replace('-', '_')}", __package__)
        app.command(name=name, cls=Command, epilog=command.EXAMPLES)(command.run)
    return app


def _check_folder() -> None:
    """Refuse to run in a folder that was removed: libraries fail there, each in its own way."""
    try:
        Path.cwd()
    except OSError:
        raise LamError("expected a current folder, found that it was removed; cd to another") from None


def _say(message: str, code: int) -> int:
    typer.echo("error: " + " ".join(message.split()), err=True)
    return code


def _terminated(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)  # so that temporary files are removed on the way out
