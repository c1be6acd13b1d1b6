"""``lam-export triton``: a bundle to a model repository for NVIDIA Triton Inference Server. Never imports torch."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from lam_export.requirements import require

from . import _serving as options
from . import _triton_memory as memory
from ._console import examples, out, say
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export triton my-model -o repository",
    "lam-export triton my-model -o repository --max-tokens 512 --truncation truncate",
    "lam-export triton my-model -o repository --flavour onnxruntime --device cuda --precision fp16",
    "lam-export triton my-model -o repository --flavour tensorrt --instances 2",
    "lam-export triton my-model -o deploy/models --deploy deploy",
    "lam-export triton my-memory -o repository --idle-timeout 3600",
)


def run(
    context: typer.Context,
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
    idle_timeout: memory.IdleTimeout = None,
    max_memories: memory.MaxMemories = None,
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

    Its model lam_embed takes text (BYTES, UTF-8) and gives sentence_embedding, token_count and truncated. That of a
    memory's bundle, lam_memory, takes key, value, query and store, and gives recall and stored.
    """
    from lam_engines.bundles.bundle import Bundle
    from lam_engines.serving.deployment import Deployment, check_deployment, write_deployment
    from lam_engines.serving.triton import write_repository
    from lam_engines.serving.triton.flavours import resolve

    opened = Bundle(bundle, kind=None)
    of_memory = opened.manifest.memory_layer is not None
    memory.check_options(context, memory=of_memory)
    if of_memory:
        memory.write_memory(
            opened,
            output,
            force=force,
            flavour=flavour,
            device=device,
            max_batch=max_batch,
            instances=instances,
            threads=threads,
            idle_timeout=idle_timeout,
            max_memories=max_memories,
        )
        return
    chosen = options.serving_options(context)
    with shown_progress() as progress:
        progress.begin("writing the repository", None)
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
