"""The options of a model repository, which ``triton`` and ``serve`` share."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._console import out, say

if TYPE_CHECKING:
    from lam_engines.serving.triton import ServingOptions

BundleArgument = Annotated[Path, typer.Argument(help="The bundle.", show_default=False)]


def _shared(
    flavour: Annotated[
        str, typer.Option(help="What computes: python (ONNX Runtime, CPU), onnxruntime or tensorrt.")
    ] = "python",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16 or int8.", show_default="fp32; fp16 with tensorrt")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu or cuda, with the flavour onnxruntime.", show_default="cpu; cuda with tensorrt"),
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="With tensorrt: which of the bundle's plans.", show_default="the only one")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=8, help="The longest text.", show_default="8192, or the plan's longest")
    ] = None,
    truncation: Annotated[
        str, typer.Option(help="Refuse or truncate longer texts; answers say which were.")
    ] = "refuse",
    max_batch: Annotated[
        int, typer.Option(min=1, help="Texts of a request, and texts taken from the queue at once.")
    ] = 64,
    batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens in a batch.", show_default="512; 16384 on a GPU")
    ] = None,
    instances: Annotated[int, typer.Option(min=1, help="Batches computed at the same time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads for a batch, on a CPU.", show_default="all but one")
    ] = None,
    queue_size: Annotated[int, typer.Option(min=1, help="Requests that may wait; more are refused.")] = 256,
    queue_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that a request may wait before it is refused.")
    ] = 30.0,
    queue_delay: Annotated[
        float, typer.Option(min=0, help="Milliseconds that an idle model waits for more texts.")
    ] = 0.0,
    cache: Annotated[
        bool, typer.Option("--cache", help="Keep answers, and give them again for the same text.")
    ] = False,
) -> None:
    """Lists the options. Their names and defaults are those of ``ServingOptions``, but for milliseconds."""


def with_serving_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a model repository to a command, after its arguments. See :func:`serving_options`."""
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
    """The options of :func:`with_serving_options` that the user gave."""
    from lam_engines.serving.triton import ServingOptions

    given = {name: context.params[name] for name in inspect.signature(_shared).parameters}
    return ServingOptions(**given | {"queue_delay": given["queue_delay"] / 1000})


def say_limits(resolved: "ServingOptions") -> None:
    """Say in one line what happens to long texts."""
    done = {"refuse": "refused", "truncate": "cut, and answered with truncated = true"}[resolved.truncation]
    say(out, f"  texts of more than {resolved.max_tokens:,} tokens are {done}")
