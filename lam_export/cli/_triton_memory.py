"""``lam-export triton`` for a memory's bundle."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from lam_engines.errors import InputError

from ._console import out, say
from ._progress import shown_progress
from ._serving import was_given

if TYPE_CHECKING:
    from lam_engines.bundles.bundle import Bundle

IdleTimeout = Annotated[
    float | None,
    typer.Option(
        help="A memory's bundle: forget a memory after this many seconds without a request.", show_default="600"
    ),
]
MaxMemories = Annotated[
    int | None, typer.Option(help="A memory's bundle: most memories that an instance keeps.", show_default="1024")
]
_OF_MEMORIES = ("idle_timeout", "max_memories")
_SERVING = ("flavour", "device", "max_batch", "instances", "threads", *_OF_MEMORIES)
"""Options that are fields of ``MemoryServing``."""


def check_options(context: typer.Context, *, memory: bool) -> None:
    """Refuse options that do not apply to a bundle of this kind.

    Raises:
        InputError: some options do not apply; the message names them all.
    """
    given = [name for name in context.params if was_given(context, name)]
    fitting = ("bundle", "output", "force", *_SERVING)
    strange = [name for name in given if (name not in fitting if memory else name in _OF_MEMORIES)]
    if strange:
        names = ", ".join("--" + name.replace("_", "-") for name in strange)
        kind = "a memory" if memory else "an encoder"
        does, it = ("does", "it") if len(strange) == 1 else ("do", "them")
        raise InputError(f"{names} {does} not apply to the bundle of {kind}; remove {it}")


def write_memory(context: typer.Context, bundle: "Bundle", output: Path, *, force: bool) -> None:
    """Write a memory's repository, and print what it holds."""
    from lam_engines.serving.triton.memory_repository import MemoryServing, write_memory_repository

    with shown_progress() as progress:
        progress.begin("writing the repository", None)
        given = {name: context.params[name] for name in _SERVING}
        chosen = MemoryServing(**{name: value for name, value in given.items() if value is not None})
        write_memory_repository(bundle, output, chosen, force=force)
    say(out, f"Wrote {output}", style="green")
    say(out, f"  lam_memory keeps a memory for each sequence, until {chosen.idle_timeout:g} s pass without a request")
    say(out, f"Serve it: tritonserver --model-repository={quote(str(output))}")
