"""What ``triton`` and ``serve`` share: the options of a model repository."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._console import out, say

if TYPE_CHECKING:
    from lam_engines.serving.triton import ServingOptions

BundleArgument = Annotated[Path, typer.Argument(help="The bundle.", show_default=False)]
Flavour = Annotated[str, typer.Option(help="What computes: python (ONNX Runtime, CPU), onnxruntime or tensorrt.")]
Precision = Annotated[str | None, typer.Option(help="fp32, fp16 or int8.", show_default="fp32; fp16 with tensorrt")]
Device = Annotated[str, typer.Option(help="cpu or cuda, with the flavour onnxruntime.")]
PlanName = Annotated[
    str | None, typer.Option("--plan", help="With tensorrt: which of the bundle's plans.", show_default="the only one")
]
MaxTokens = Annotated[
    int | None, typer.Option(min=8, help="The longest text.", show_default="8192, or the plan's longest")
]
Truncation = Annotated[str, typer.Option(help="refuse or truncate longer ones; truncated ones are told as such.")]
MaxBatch = Annotated[int, typer.Option(min=1, help="Texts of a request, and texts taken from the queue at once.")]
BatchTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Tokens that go through the model at once.", show_default="512; 16384 on a GPU"),
]
Instances = Annotated[int, typer.Option(min=1, help="Batches computed at the same time.")]
Threads = Annotated[int | None, typer.Option(min=1, help="For a batch, on a CPU.", show_default="all but one")]
QueueSize = Annotated[int, typer.Option(min=1, help="Requests that may wait; more are refused.")]
QueueTimeout = Annotated[float, typer.Option(min=0, help="Seconds that a request may wait before it is refused.")]
QueueDelay = Annotated[float, typer.Option(min=0, help="Milliseconds that an idle model waits for more texts.")]
Cache = Annotated[bool, typer.Option("--cache", help="Answer texts that were sent before from memory.")]


def serving_options(context: typer.Context) -> "ServingOptions":
    """Those of the command's parameters that the engine's package knows, under its names; seconds for milliseconds."""
    from dataclasses import fields

    from lam_engines.serving.triton import ServingOptions

    given = {field.name: context.params[field.name] for field in fields(ServingOptions)}
    return ServingOptions(**given | {"queue_delay": given["queue_delay"] / 1000})


def say_limits(resolved: "ServingOptions") -> None:
    """What becomes of long texts, in one line."""
    done = {"refuse": "refused", "truncate": "cut, and answered with truncated = true"}[resolved.truncation]
    say(out, f"  texts of more than {resolved.max_tokens:,} tokens are {done}")
