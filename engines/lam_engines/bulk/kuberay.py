"""Files that run the work on Kubernetes with KubeRay: an image, a cluster, and a job that brings its own."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shlex import join

from ..bundles.whole import write_whole
from ..errors import LamError
from ..storage import extra_of
from ..templates import templates_of

FILES = ("rayjob.yaml", "raycluster.yaml", "Dockerfile")
_RAY = "2.60.0"
"""Release of the image where none is installed here."""


@dataclass(frozen=True)
class RayJob:
    """A run on Kubernetes."""

    arguments: Sequence[str]
    """Arguments of ``lam-export embed``, without those about Ray."""
    workers: tuple[int, int]
    """Smallest and largest number of engines."""
    image: str
    """Name of the image that the Dockerfile makes."""
    cpus: int = 4
    """CPUs of a worker's pod: so many engines on a CPU."""
    memory: str = "8Gi"
    """Memory of a worker's pod."""
    gpus_per_worker: float | None = None
    """GPUs of each engine; None: engines run on CPUs. A pod has one GPU."""

    @property
    def name(self) -> str:
        """Name of everything in Kubernetes, from the bundle's name."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.arguments[0].rstrip("/").rpartition("/")[2].lower()).strip("-")
        return f"embed-{plain}"[:40].strip("-")


def write_ray_job(folder: Path, job: RayJob, *, force: bool = False) -> None:
    """Write ``rayjob.yaml``, ``raycluster.yaml`` and a Dockerfile.

    Args:
        folder: where to write them.
        job: the run.
        force: replace existing files.

    Raises:
        LamError: files exist already, or cannot be written.
    """
    if not force and (there := [name for name in FILES if (folder / name).exists()]):
        raise LamError(
            f"{', '.join(there)} in {folder} would be replaced; allow it with --force, or name another folder"
        )
    low, high = job.workers
    run = ["lam-export", "embed", *job.arguments, "--ray", "--address", "auto", "--workers", f"{low}..{high}"]
    per_pod = job.cpus
    if job.gpus_per_worker is not None:
        run += ["--device", "cuda", "--gpus-per-worker", f"{job.gpus_per_worker:g}"]
        per_pod = min(job.cpus, max(1, int(1 / job.gpus_per_worker)))
    try:
        ray = version("ray")
    except PackageNotFoundError:
        ray = _RAY
    schemes = {extra_of(argument) for argument in job.arguments} - {None}
    values = {
        "name": job.name,
        "run": join(run),
        "image": job.image,
        "ray": ray,
        "python": f"{sys.version_info.major}{sys.version_info.minor}",
        "pods": [-(-count // per_pod) for count in job.workers],
        "cpus": job.cpus,
        "memory": job.memory,
        "gpu": job.gpus_per_worker is not None,
        "extras": ",".join(["cpu" if job.gpus_per_worker is None else "gpu", *sorted(map(str, schemes))]),
        "folder": folder,
    }
    templates = templates_of(__package__)
    try:
        for name in FILES:
            write_whole(folder / name, templates.get_template(name).render(values).encode())
    except OSError as error:
        raise LamError(f"cannot write to {folder} ({error.strerror}); name another folder with -o") from None
