"""Options of a served bundle, for ``triton`` and ``serve``."""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lam_engines.errors import InputError
from lam_engines.runtimes.registry import DEFAULT

from ._console import out, say
from ._options import THREADS, BatchTokens, Device, Engine, Precision

if TYPE_CHECKING:
    from lam_engines.serving.triton import ServingOptions


def _shared(
    flavour: Annotated[
        str,
        typer.Option(
            help="Triton's backend that runs the model: python (an engine on the CPU), onnxruntime or tensorrt."
        ),
    ] = "python",
    engine: Engine = DEFAULT,
    precision: Precision = None,
    device: Device = None,
    plan: Annotated[
        str | None, typer.Option(help="The bundle's plan to run, with tensorrt.", show_default="the only one")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=8, help="Tokens of the longest text.", show_default="8192, or the plan's longest")
    ] = None,
    truncation: Annotated[
        str, typer.Option(help="Longer texts: refuse or truncate. An answer says whether its text was truncated.")
    ] = "refuse",
    max_batch: Annotated[
        int, typer.Option(min=1, help="Most texts in a request to Triton, and most texts taken from its queue at once.")
    ] = 64,
    batch_tokens: BatchTokens = None,
    instances: Annotated[
        int,
        typer.Option(
            min=1,
            help="Batches that run at the same time.",
            show_default="1; own server: as many as the engine gains by",
        ),
    ] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help=THREADS, show_default="all but one")] = None,
    queue_size: Annotated[int, typer.Option(min=1, help="Requests that may wait in Triton. More are refused.")] = 256,
    queue_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that a request may wait. It is refused if it would wait longer.")
    ] = 30.0,
    queue_delay: Annotated[
        float, typer.Option(min=0, help="Milliseconds that an idle model in Triton waits for more texts to batch.")
    ] = 0.0,
    cache: Annotated[
        bool, typer.Option("--cache", help="Let Triton keep answers, and answer the same text again.")
    ] = False,
) -> None:
    """Declares the options with names and defaults of ``ServingOptions``. ``queue_delay`` is in milliseconds here."""


def with_serving_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a model repository to a command, after its arguments. :func:`serving_options` reads them."""
    own = inspect.signature(command)
    arguments = [parameter for parameter in own.parameters.values() if parameter.default is parameter.empty]
    options = [parameter for parameter in own.parameters.values() if parameter.default is not parameter.empty]

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{name: given[name] for name in own.parameters})

    shared = inspect.signature(_shared).parameters.values()
    run.__signature__ = own.replace(parameters=[*arguments, *shared, *options])  # type: ignore[attr-defined]
    return run


def serving_options(context: typer.Context) -> "ServingOptions":
    """The values of the options that :func:`with_serving_options` added."""
    from lam_engines.serving.triton import ServingOptions

    given = {name: context.params[name] for name in inspect.signature(_shared).parameters}
    return ServingOptions(**given | {"queue_delay": given["queue_delay"] / 1000})


OF_REPOSITORIES = ("flavour", "plan", "max_batch", "queue_size", "queue_delay", "cache")
"""Those of the shared options that only Triton's repositories have."""


def given(context: typer.Context, *names: str) -> dict[str, Any]:
    """The values of some options."""
    return {name: context.params[name] for name in names}


def was_given(context: typer.Context, name: str) -> bool:
    """Whether the user gave an option on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_given(context: typer.Context, names: Iterable[str], where: str) -> None:
    """Refuse options that have no meaning where they were given.

    Raises:
        InputError: names the first.
    """
    for name in names:
        if was_given(context, name):
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} does not apply {where}; leave it out, or see: lam-export serve --help")


def say_limits(resolved: "ServingOptions") -> None:
    """Print what happens to long texts."""
    done = {"refuse": "refused", "truncate": "cut, and answered with truncated = true"}[resolved.truncation]
    say(out, f"  texts of more than {resolved.max_tokens:,} tokens are {done}")
