"""The stock images of Triton Inference Server that a deployment can build on."""

import re
from dataclasses import dataclass

from ...errors import LamError

REGISTRY = "nvcr.io/nvidia/tritonserver"


@dataclass(frozen=True)
class Image:
    """A release of the image, with the versions that decide whether it fits."""

    tag: str
    tensorrt: str
    """Version of TensorRT. A plan runs only in the version that built it."""
    onnxruntime: str

    @property
    def name(self) -> str:
        return f"{REGISTRY}:{self.tag}"


# One release for each version of TensorRT, from Triton's compatibility matrix and the containers' release notes.
# 10.14 is left out, because lam-export builds no plans with it.
IMAGES = (
    Image("25.03-py3", tensorrt="10.9.0", onnxruntime="1.21.0"),
    Image("25.05-py3", tensorrt="10.10.0", onnxruntime="1.22.0"),
    Image("25.06-py3", tensorrt="10.11.0", onnxruntime="1.22.0"),
    Image("25.10-py3", tensorrt="10.13.3", onnxruntime="1.23.1"),
)
DEFAULT = IMAGES[-1]
"""The image if no plan is served. Its ONNX Runtime knows opset 23, and its Python is 3.12. Its CUDA 13.0 needs driver
580, which has long-term support; later releases need newer drivers."""


_SAFE = (25, 7)
"""The release from which on Triton's HTTP port is safe; see :mod:`..triton.arguments`."""


def has_safe_http(image: str) -> bool:
    """Whether others may ask an image's HTTP port. An image without a release in its tag is taken for a new one."""
    release = re.search(r":(\d\d)\.(\d\d)\b", image)
    return release is None or (int(release[1]), int(release[2])) >= _SAFE


def image_for(tensorrt: str | None) -> Image:
    """The image with this version of TensorRT (``10.9.0.34``); None: the default image.

    Raises:
        LamError: no known image has this version.
    """
    if not tensorrt:
        return DEFAULT
    for image in IMAGES:
        if tensorrt.split(".")[:3] == image.tensorrt.split("."):
            return image
    known = ", ".join(f"{image.tensorrt} ({image.tag})" for image in IMAGES)
    raise LamError(
        f"expected a plan for the TensorRT of a known Triton image: {known}; found {tensorrt}; build the plan with one "
        f"of these, or name an image that has it: --image"
    )
