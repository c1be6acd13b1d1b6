"""The entry of TensorRT for RTX in the registry. Its engine is TensorRT's."""

from typing import TYPE_CHECKING

from ..tensorrt.runtime import TensorRt

if TYPE_CHECKING:
    from ..tensorrt.library import Library


class TensorRtForRtx(TensorRt):
    """Runs a bundle's plans on any of the GPUs that they were built for, with the version that built them."""

    name = "tensorrt-rtx"
    title = "TensorRT for RTX"

    @property
    def library(self) -> "Library":
        from ..tensorrt.library import RTX

        return RTX


RUNTIME = TensorRtForRtx()
