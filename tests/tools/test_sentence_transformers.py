"""sentence-transformers, and LangChain and LlamaIndex over it, on the demo model."""

from collections.abc import Callable

import numpy as np
import pytest
from other_tools import Demo

pytestmark = [pytest.mark.slow, pytest.mark.demo, pytest.mark.needs("openvino")]

HOW = ("onnx", "int8", "openvino")


@pytest.mark.parametrize("how", HOW)
def test_sentence_transformers(how: str, demo: Demo, in_python: Callable[[str, str], np.ndarray]) -> None:
    demo.check(how, in_python("sentence-transformers", f"sentence-transformers {how}"))


@pytest.mark.parametrize("how", ["langchain onnx", "langchain openvino", "llama-index onnx", "llama-index openvino"])
def test_frameworks(how: str, demo: Demo, in_python: Callable[[str, str], np.ndarray]) -> None:
    demo.check(how, in_python("sentence-transformers", how))
