"""fastembed, and ONNX Runtime with its OpenVINO provider, on the demo model."""

from collections.abc import Callable

import numpy as np
import pytest
from other_tools import Demo

pytestmark = [pytest.mark.slow, pytest.mark.demo]

HOW = (
    *("fastembed", "fastembed int8", "onnxruntime", "onnxruntime bundle"),
    *("onnxruntime openvino", "onnxruntime openvino bundle"),
)


@pytest.mark.parametrize("how", HOW)
def test_embeddings(how: str, demo: Demo, in_python: Callable[[str, str], np.ndarray]) -> None:
    demo.check(how, in_python("light", how))
