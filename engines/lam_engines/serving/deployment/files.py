"""The deployment files of a model repository."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...bundles.bundle import Bundle
from ...bundles.whole import write_whole
from ...contract import ENSEMBLE
from ...errors import LamError
from ...templates import templates_of
from ..triton.arguments import steady_arguments
from ..triton.flavours import packages_of
from ..triton.options import ServingOptions
from .images import has_safe_http, image_for
from .requirements import requirements

TEMPLATES = ("Dockerfile", "docker-compose.yaml", "kubernetes.yaml", "kserve.yaml", "prometheus-adapter.yaml")
FILES = (*TEMPLATES, ".dockerignore", "probe.py", "requirements.txt")
_STOP = 40.0
"""Seconds that a stopping server has to finish its requests. The files let Docker and Kubernetes wait longer."""
_HEADROOM = 2 << 30
"""Bytes beside the model: the server, its Python processes, activations, and 1 GiB of shared memory."""


@dataclass(frozen=True)
class Deployment:
    """What a repository needs to run on another machine."""

    repository: Path
    """Folder of the models, inside the folder that the files are written to."""
    name: str
    """Name of the image and of everything in Kubernetes, from the bundle's name."""
    model: str
    """Name of the model that clients ask."""
    max_batch: int
    """Largest number of texts that are computed at once."""
    packages: Sequence[str]
    """Packages that the Python models import."""
    arguments: Sequence[str]
    """Arguments of ``tritonserver``, without the repository's place."""
    gpu: bool
    """Whether a model runs on a GPU."""
    tensorrt: str | None = None
    """Version of TensorRT that the plan was built with, if a plan is served."""
    image: str | None = None
    """Image to build on; None: the stock image that fits."""

    @staticmethod
    def of(bundle: Bundle, options: ServingOptions, repository: Path, image: str | None = None) -> "Deployment":
        """What a repository of ``lam-export triton`` needs.

        Args:
            bundle: the bundle that the repository is made from.
            options: the options that it is made with, resolved.
            repository: its folder, which need not exist yet.
            image: the image to build on. Default: the stock image that fits.
        """
        return Deployment(
            repository=repository,
            name=bundle.path.resolve().name,
            model=ENSEMBLE,
            max_batch=options.max_batch,
            packages=packages_of(bundle, options),
            arguments=steady_arguments(_STOP),
            gpu=options.on_gpu,
            tensorrt=bundle.manifest.plans[options.plan].version if options.plan else None,
            image=image,
        )


def check_deployment(folder: Path, deployment: Deployment, *, force: bool = False) -> None:
    """Check whether :func:`write_deployment` can write. The repository need not exist yet.

    Raises:
        LamError: the repository is not inside ``folder``, files exist already, or no image is known for the plan.
    """
    repository = deployment.repository.resolve()
    if not repository.is_relative_to(folder.resolve()) or repository == folder.resolve():
        raise LamError(
            f"expected the repository inside {folder}, because the image is built from there, found {repository}; "
            f"write it there: lam-export triton BUNDLE -o {folder / 'models'} --deploy {folder}"
        )
    if deployment.image is None:
        image_for(deployment.tensorrt)
    if not force and (there := [name for name in FILES if (folder / name).exists()]):
        raise LamError(
            f"{', '.join(there)} in {folder} would be replaced; allow it with --force, or name another folder"
        )


def write_deployment(folder: Path, deployment: Deployment, *, force: bool = False) -> None:
    """Write a Dockerfile, docker-compose.yaml, manifests for Kubernetes and KServe, and the files that they use.

    Args:
        folder: folder of the files. It must hold the repository, because a Dockerfile copies nothing from outside.
        deployment: what to deploy.
        force: replace existing files.

    Raises:
        LamError: see :func:`check_deployment`; or the disk is full.
    """
    check_deployment(folder, deployment, force=force)
    try:
        for name, text in _render(folder, deployment).items():
            write_whole(folder / name, text.encode())
    except OSError as error:
        raise LamError(f"cannot write to {folder} ({error.strerror}); name another folder: --deploy FOLDER") from None


def _render(folder: Path, deployment: Deployment) -> dict[str, str]:
    repository = deployment.repository.resolve()
    image = deployment.image or image_for(deployment.tensorrt).name
    size = sum(file.stat().st_size for file in repository.rglob("*") if file.is_file())
    values: dict[str, Any] = {
        "name": _name(deployment.name),
        "image": image,
        "why_image": _why(deployment),
        "tensorrt": deployment.tensorrt and ".".join(deployment.tensorrt.split(".")[:3]),
        "repository": repository.relative_to(folder.resolve()).as_posix(),
        "http": has_safe_http(image),
        "command": [
            *("tritonserver", "--model-repository=/models", *deployment.arguments),
            # The health check asks over HTTP, from inside.
            *(() if has_safe_http(image) else ("--http-address=127.0.0.1",)),
        ],
        "model": deployment.model,
        "max_batch": deployment.max_batch,
        "gpu": deployment.gpu,
        # A loaded graph takes about twice the size of its file, and three times while it is being loaded.
        "memory": f"{-(-(3 * size + _HEADROOM) // (1 << 20))}Mi",
    }
    templates = templates_of(__package__)
    written = {name: templates.get_template(name).render(values, kserve=name == "kserve.yaml") for name in TEMPLATES}
    written[".dockerignore"] = templates.get_template("dockerignore").render(values)
    written["probe.py"] = (files(__package__) / "probe.py").read_text(encoding="utf-8")
    written["requirements.txt"] = requirements(deployment.packages)
    return written


def _name(name: str) -> str:
    """A name that Kubernetes accepts: lower-case letters, digits and hyphens, and at most 50, because it adds more."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain[:50].strip("-") if plain.startswith("lam") else f"lam-{plain}"[:50].strip("-")


def _why(deployment: Deployment) -> str:
    if deployment.image:
        return "The image that was asked for."
    if deployment.tensorrt:
        return f"This release has TensorRT {deployment.tensorrt}. The plan was built with it and runs in no other."
    return "This release has Python 3.12 and an ONNX Runtime that knows the graph's operators."
