"""``lam-export ray-job``: files that run ``lam-export embed`` on Kubernetes with KubeRay."""

from pathlib import Path
from typing import Annotated

import typer

from lam_engines.errors import InputError

from ._console import examples, out, say
from ._options import Force, low_to_high

EXAMPLES = examples(
    "lam-export ray-job --to deploy --workers 4..64 -- s3://models/my-model --input s3://in/reviews -o s3://out/vectors",
    "lam-export ray-job --to deploy --gpus-per-worker 0.5 --workers 1..8 -- s3://m/my-model --input s3://in -o s3://out",
)


def run(
    embed: Annotated[
        list[str],
        typer.Argument(metavar="-- BUNDLE --input URI -o URI ...", help="Arguments of embed.", show_default=False),
    ],
    to: Annotated[Path, typer.Option("--to", help="Folder to write the files to.", show_default=False)],
    workers: Annotated[str, typer.Option(help="Number of engines; 4..64 lets it vary between 4 and 64.")] = "4..16",
    image: Annotated[str, typer.Option(help="Name of the image that the Dockerfile makes.")] = "lam-export-ray:latest",
    cpus: Annotated[int, typer.Option(min=1, max=1024, help="CPUs of a pod, with an engine on each.")] = 4,
    memory: Annotated[str, typer.Option(help="Memory of a pod.")] = "8Gi",
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1,
            help="GPUs of each engine. A pod has one GPU; 0.5 lets two engines share it.",
            show_default="CPUs alone",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write a KubeRay RayJob, a RayCluster and a Dockerfile that embed from object storage to object storage."""
    from lam_engines.bulk.kuberay import RayJob, write_ray_job

    from .embed import run as embed_command

    taken = {"--ray", "--address", "--workers", "--gpus-per-worker", "--device"} & set(embed)
    if taken:
        raise InputError(f"expected arguments of embed without those about Ray, found {min(taken)}; name it before --")
    app = typer.Typer()
    app.command()(embed_command)
    typer.main.get_command(app).make_context("embed", list(embed))  # a mistake shows here, not in the cluster
    job = RayJob(embed, low_to_high(workers), image, cpus, memory, gpus_per_worker)
    write_ray_job(to, job, force=force)
    say(out, f"Wrote {to}; build and push the image, then run: kubectl apply -f {to / 'rayjob.yaml'}", style="green")
