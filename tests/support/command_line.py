"""Whether ``lam-export`` would take a command, without running it."""

from collections.abc import Sequence

import pytest
import typer


def check_command(arguments: Sequence[str]) -> None:
    """Parse the arguments of ``lam-export``; fails the test if the command, an option or a value is unknown."""
    from lam_export.cli import _app

    command = typer.main.get_command(_app())
    name, *rest = arguments
    if name in ("--version", "--help"):
        return
    found = getattr(command, "commands", {}).get(name)
    if found is None:
        pytest.fail(f"there is no command lam-export {name}")
    try:
        found.make_context(name, [word for word in rest if word != "..."], resilient_parsing="..." in rest).close()
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        pytest.fail(f"lam-export {' '.join(arguments)}: {error.format_message()}")
