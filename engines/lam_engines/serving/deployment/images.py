"""The stock images of Triton Inference Server that files are generated for."""

from dataclasses import dataclass

from ...errors import LamError

REGISTRY = "nvcr.io/nvidia/tritonserver"


@dataclass(frozen=True)
class Image:
    """A release of the image, with the versions that decide whether it fits."""

    tag: str
    tensorrt: str
    """A plan runs in the TensorRT that built it and in no other."""
    onnxruntime: str

    @property
    def name(self) -> str:
        return f"{REGISTRY}:{self.tag}"


# From the compatibility matrix in Triton's documentation and the containers' release notes; one for each TensorRT.
# 10.14 is left out: lam-export builds no plans with it.
IMAGES = (
    Image("25.03-py3", tensorrt="10.9.0", onnxruntime="1.21.0"),
    Image("25.05-py3", tensorrt="10.10.0", onnxruntime="1.22.0"),
    Image("25.06-py3", tensorrt="10.11.0", onnxruntime="1.22.0"),
    Image("25.10-py3", tensorrt="10.13.3", onnxruntime="1.23.1"),
)
DEFAULT = IMAGES[-1]
"""Where no plan decides: ONNX Runtime knows opset 23, the models' Python is 3.12, and CUDA 13.0 asks for driver 580,
which has long-term support; later releases ask for newer ones."""


def image_for(tensorrt: str | None) -> Image:
    """The image that runs a plan of this TensorRT (``10.9.0.34``), or the default for none.

    Raises:
        LamError: there is none in the list.
    """
    if tensorrt is None:
        return DEFAULT
    for image in IMAGES:
        if tensorrt.split(".")[:3] == image.tensorrt.split("."):
            return image
    known = ", ".join(f"{image.tensorrt} ({image.tag})" for image in IMAGES)
    raise LamError(
        f"expected a plan of a TensorRT that a known Triton image has: {known}; found {tensorrt}; build the plan with "
        f"one of these, or name an image that has it: --image"
    )
