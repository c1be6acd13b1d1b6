"""Whether ``lam-export`` would take a command, without running it."""

from collections.abc import Sequence
from typing import Any

import pytest
import typer


def commands() -> dict[str, Any]:
    """Every command of ``lam-export``, as click knows it."""
    from lam_export import cli

    found: dict[str, Any] = getattr(typer.main.get_command(cli._app()), "commands", {})
    return found


def options() -> set[str]:
    """Every option of every command, and those of ``lam-export`` itself."""
    return {"--help", "--version"}.union(
        *(parameter.opts for command in commands().values() for parameter in command.params)
    )


def check_command(arguments: Sequence[str]) -> None:
    """Parse the arguments of ``lam-export``; fails the test if the command, an option or a value is unknown."""
    name, *rest = arguments
    if name in ("--version", "--help"):
        return
    found = commands().get(name)
    if found is None:
        pytest.fail(f"there is no command lam-export {name}")
    try:
        found.make_context(name, [word for word in rest if word != "..."], resilient_parsing="..." in rest).close()
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        pytest.fail(f"lam-export {' '.join(arguments)}: {error.format_message()}")
