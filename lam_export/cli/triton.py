"""``lam-export triton``: a bundle to a model repository for NVIDIA Triton Inference Server. It never imports torch."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from lam_export.requirements import require

from . import _triton_memory as memory
from ._console import examples, out, say
from ._options import BundleArgument, Force
from ._progress import shown_progress
from ._serving import say_limits, serving_options, with_serving_options

EXAMPLES = examples(
    "lam-export triton my-model -o repository",
    "lam-export triton my-model -o repository --max-tokens 512 --truncation truncate",
    "lam-export triton my-model -o repository --flavour onnxruntime --device cuda --precision fp16",
    "lam-export triton my-model -o repository --flavour tensorrt --instances 2",
    "lam-export triton my-model -o deploy/models --deploy deploy",
    "lam-export triton my-memory -o repository --idle-timeout 3600",
)


@with_serving_options
def run(
    context: typer.Context,
    bundle: BundleArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the repository to write.", show_default=False)
    ],
    idle_timeout: memory.IdleTimeout = None,
    max_memories: memory.MaxMemories = None,
    deploy: Annotated[
        Path | None,
        typer.Option(
            help="Also write Docker, Compose and Kubernetes files to this folder. The repository must be inside it.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Base image, with --deploy.", show_default="the matching stock image of Triton")
    ] = None,
    force: Force = False,
) -> None:
    """Write a model repository for NVIDIA Triton Inference Server: text in, embedding out.

    The model lam_embed takes text (BYTES, UTF-8) and returns sentence_embedding, token_count and truncated. For a
    memory's bundle, the model lam_memory takes key, value, query and store, and returns recall and stored.
    """
    from lam_engines.bundles.bundle import Bundle
    from lam_engines.serving.deployment import Deployment, check_deployment, write_deployment
    from lam_engines.serving.triton import write_repository
    from lam_engines.serving.triton.flavours import resolve
    from lam_engines.serving.triton.process import check_places

    opened = Bundle(bundle, kind=None)
    of_memory = opened.manifest.memory_layer is not None
    memory.check_options(context, memory=of_memory)
    if of_memory:
        memory.write_memory(context, opened, output, force=force)
        return
    chosen = serving_options(context)
    if deploy is None:  # else it is copied into an image
        check_places(str(output.absolute()), remedy="name another: -o FOLDER, or write an image's files: --deploy")
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
    say_limits(chosen)
    if deploy is not None:
        say(out, f"Wrote deployment files to {deploy}; run there: docker compose up --build --wait", style="green")
    say(out, f"Serve it: tritonserver --model-repository={quote(str(output))}")
