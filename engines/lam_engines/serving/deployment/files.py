"""The deployment files of a model repository."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...bundles.bundle import Bundle
from ...bundles.whole import write_whole
from ...errors import LamError
from ..triton.configs import CORE, ENSEMBLE
from ..triton.options import ServingOptions
from ..triton.server import steady_arguments
from .images import image_for
from .requirements import requirements

TEMPLATES = ("Dockerfile", "docker-compose.yaml", "kubernetes.yaml", "kserve.yaml", "prometheus-adapter.yaml")
FILES = (*TEMPLATES, ".dockerignore", "probe.py", "requirements.txt")
_STOP = 40.0
"""Seconds that the server has to finish requests under way when it is stopped; Docker and Kubernetes allow for more."""
_HEADROOM = 2 << 30
"""Bytes beside the model: the server, its Python processes, what is computed, and 1 GiB of shared memory."""


@dataclass(frozen=True)
class Deployment:
    """What a repository needs to run somewhere else."""

    repository: Path
    """The folder of models, inside the folder that the files are written to."""
    name: str
    """Of the image and of everything in Kubernetes; made of the bundle's name."""
    model: str
    """The ensemble."""
    queue_model: str
    """The model whose queue grows when there is more work than can be done."""
    max_batch: int
    packages: Sequence[str]
    """What the Python models import."""
    arguments: Sequence[str]
    """Of ``tritonserver``, but for the repository's place."""
    gpu: bool
    """Whether a model runs on one."""
    tensorrt: str | None = None
    """The version that the plan was built with, if one is served."""
    image: str | None = None
    """To build on; the stock image that fits if left out."""

    @staticmethod
    def of(bundle: Bundle, options: ServingOptions, repository: Path, image: str | None = None) -> "Deployment":
        """What a repository of ``lam-export triton`` needs.

        Args:
            bundle: that it is made from.
            options: that it is made with, resolved.
            repository: where it is, or will be.
            image: to build on; the stock image that fits if left out.
        """
        return Deployment(
            repository=repository,
            name=bundle.path.resolve().name,
            model=ENSEMBLE,
            queue_model=CORE,
            max_batch=options.max_batch,
            packages=("numpy", "tokenizers", *(("onnxruntime",) if options.flavour == "python" else ())),
            arguments=steady_arguments(_STOP),
            gpu=options.on_gpu,
            tensorrt=bundle.manifest.plans[options.plan].tensorrt if options.plan else None,
            image=image,
        )


def check_deployment(folder: Path, deployment: Deployment, *, force: bool = False) -> None:
    """See whether :func:`write_deployment` has what it needs; the repository need not be there yet.

    Raises:
        LamError: the repository is elsewhere, files are there already, or no image is known for the plan.
    """
    repository = deployment.repository.resolve()
    if not repository.is_relative_to(folder.resolve()) or repository == folder.resolve():
        raise LamError(
            f"expected the repository inside {folder}, which the image is built from, found it at {repository}; write "
            f"it there: lam-export triton BUNDLE -o {folder / 'models'} --deploy {folder}"
        )
    if deployment.image is None:
        image_for(deployment.tensorrt)
    if not force and (there := [name for name in FILES if (folder / name).exists()]):
        raise LamError(f"{', '.join(there)} in {folder} would be replaced; say so with --force, or name another folder")


def write_deployment(folder: Path, deployment: Deployment, *, force: bool = False) -> None:
    """Write a Dockerfile, docker-compose.yaml, Kubernetes' and KServe's manifests and what they need.

    Args:
        folder: where they go; the repository lies in it, because a Dockerfile copies nothing from outside.
        deployment: what is deployed.
        force: replace files that are there.

    Raises:
        LamError: as :func:`check_deployment`, or the disk is full.
    """
    check_deployment(folder, deployment, force=force)
    try:
        for name, text in _render(folder, deployment).items():
            write_whole(folder / name, text.encode())
    except OSError as error:
        raise LamError(f"cannot write to {folder} ({error.strerror}); name another folder: --deploy FOLDER") from None


def _render(folder: Path, deployment: Deployment) -> dict[str, str]:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    repository = deployment.repository.resolve()
    image = deployment.image or image_for(deployment.tensorrt).name
    size = sum(file.stat().st_size for file in repository.rglob("*") if file.is_file())
    values: dict[str, Any] = {
        "name": _name(deployment.name),
        "image": image,
        "why_image": _why(deployment),
        "tensorrt": deployment.tensorrt and ".".join(deployment.tensorrt.split(".")[:3]),
        "repository": repository.relative_to(folder.resolve()).as_posix(),
        "command": ["tritonserver", "--model-repository=/models", *deployment.arguments],
        "model": deployment.model,
        "queue_model": deployment.queue_model,
        "max_batch": deployment.max_batch,
        "gpu": deployment.gpu,
        # A graph in memory takes about twice its file, while it is loaded three times.
        "memory": f"{-(-(3 * size + _HEADROOM) // (1 << 20))}Mi",
    }
    # The files are YAML and a Dockerfile, for which there is no escaping: strings go through tojson.
    environment = Environment(  # noqa: S701
        loader=PackageLoader(__package__),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    written = {name: environment.get_template(name).render(values, kserve=name == "kserve.yaml") for name in TEMPLATES}
    written[".dockerignore"] = environment.get_template("dockerignore").render(values)
    written["probe.py"] = (files(__package__) / "probe.py").read_text(encoding="utf-8")
    written["requirements.txt"] = requirements(deployment.packages)
    return written


def _name(name: str) -> str:
    """As Kubernetes allows it: lower-case letters, digits and hyphens; at most 50 of them, because it adds its own."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain[:50].strip("-") if plain.startswith("lam") else f"lam-{plain}"[:50].strip("-")


def _why(deployment: Deployment) -> str:
    if deployment.image:
        return "The image that was asked for."
    if deployment.tensorrt:
        return f"This release has TensorRT {deployment.tensorrt}, which the plan was built with: no other runs it."
    return "A release with Python 3.12 and an ONNX Runtime that knows the graph's operators."
