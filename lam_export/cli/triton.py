"""``lam-export triton``: a bundle to a model repository for NVIDIA Triton Inference Server. Never imports torch."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from . import _serving as options
from ._console import examples, out, say, steps
from ._requirements import require

EXAMPLES = examples(
    "lam-export triton my-model -o repository",
    "lam-export triton my-model -o repository --max-tokens 512 --truncation truncate",
    "lam-export triton my-model -o repository --flavour onnxruntime --device cuda --precision fp16",
    "lam-export triton my-model -o repository --flavour tensorrt --instances 2",
    "lam-export triton my-model -o deploy/models --deploy deploy",
)


def run(
    bundle: options.BundleArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the repository goes.", show_default=False)],
    flavour: options.Flavour = "python",
    precision: options.Precision = None,
    device: options.Device = "cpu",
    plan: options.PlanName = None,
    max_tokens: options.MaxTokens = None,
    truncation: options.Truncation = "refuse",
    max_batch: options.MaxBatch = 64,
    batch_tokens: options.BatchTokens = None,
    instances: options.Instances = 1,
    threads: options.Threads = None,
    queue_size: options.QueueSize = 256,
    queue_timeout: options.QueueTimeout = 30.0,
    queue_delay: options.QueueDelay = 0.0,
    cache: options.Cache = False,
    deploy: Annotated[
        Path | None,
        typer.Option(help="Folder around the repository for a Dockerfile, Compose and Kubernetes.", show_default=False),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Image to build on.", show_default="Triton's stock image that fits")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write a model repository for NVIDIA Triton Inference Server: text in, embedding out.

    Its model lam_embed takes text (BYTES, UTF-8) and gives sentence_embedding, token_count and truncated.
    """
    from lam_engines.bundle import Bundle
    from lam_engines.deployment import Deployment, check_deployment, write_deployment
    from lam_engines.triton import write_repository
    from lam_engines.triton.flavours import resolve

    opened = Bundle(bundle)
    chosen = options.serving_options(
        flavour=flavour,
        precision=precision,
        device=device,
        plan=plan,
        max_tokens=max_tokens,
        truncation=truncation,
        max_batch=max_batch,
        batch_tokens=batch_tokens,
        instances=instances,
        threads=threads,
        queue_size=queue_size,
        queue_timeout=queue_timeout,
        queue_delay=queue_delay,
        cache=cache,
    )
    with steps() as step:
        step("writing the repository")
        chosen = resolve(opened, chosen)
        deployment = Deployment.of(opened, chosen, output, image)
        if deploy is not None:
            require("jinja2", extra="serve")
            check_deployment(deploy, deployment, force=force)
        write_repository(opened, output, chosen, force=force)
        if deploy is not None:
            write_deployment(deploy, deployment, force=force)
    say(out, f"Wrote {output}", style="green")
    options.say_limits(chosen)
    if deploy is not None:
        say(out, f"Wrote what deploys it to {deploy}; there: docker compose up --build --wait", style="green")
    say(out, f"Serve it: tritonserver --model-repository={quote(str(output))}")
