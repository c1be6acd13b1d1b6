"""``lam_core`` asking ``lam_model``, as the flavours onnxruntime and tensorrt have it.

The server that runs here has neither of these backends. So ``lam_model`` is served by the Python backend instead, with
the configuration that was generated for it: all but the backend itself is what runs in production.
"""

from pathlib import Path

import numpy as np
import pytest
from asking import AskedError, embeddings, over_grpc
from google.protobuf import text_format
from plan_bundle import with_plan
from served import CLOSE, mixed
from tritonclient.grpc import InferenceServerClient
from tritonclient.grpc.model_config_pb2 import ModelConfig

from lam_engines.bundles.bundle import Bundle
from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.triton import ServingOptions, TritonServer, write_repository
from lam_engines.serving.triton.installation import Installation

TEXTS = [text for text in mixed(120) if text.isascii()]
SERVED = """
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.session = onnxruntime.InferenceSession(str(Path(__file__).with_name("graph.onnx")))

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        feed = {n: pb_utils.get_input_tensor_by_name(request, n).as_numpy() for n in ("input_ids", "attention_mask")}
        if 4 in feed["input_ids"]:  # the tiny tokenizer's [MASK]
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("out of memory"))
        print("SHAPE", feed["input_ids"].shape, flush=True)
        vectors = self.session.run(["sentence_embedding"], feed)[0]
        return pb_utils.InferenceResponse([pb_utils.Tensor("sentence_embedding", vectors)])
"""


def serve_with_python(repository: Path, graph: bytes) -> None:
    """Have the Python backend serve ``lam_model``."""
    path = repository / "lam_model" / "config.pbtxt"
    config = text_format.Parse(path.read_text(), ModelConfig())
    config.backend, config.platform, config.default_model_filename = "python", "", ""
    del config.instance_group[:]  # which names a GPU, with tensorrt
    config.instance_group.add(kind="KIND_CPU", count=1)
    path.write_text(text_format.MessageToString(config))
    (repository / "lam_model" / "1" / "model.py").write_text(SERVED)
    (repository / "lam_model" / "1" / "graph.onnx").write_bytes(graph)


def test_the_flavour_onnxruntime(
    tmp_path: Path, tiny_bundle: Path, tiny_engine: EmbeddingEngine, triton_installation: Installation
) -> None:
    repository = write_repository(tiny_bundle, tmp_path / "models", ServingOptions(flavour="onnxruntime"))
    serve_with_python(repository, Bundle(tiny_bundle).read("model.onnx"))
    with TritonServer(repository, installation=triton_installation) as server:
        found = embeddings(over_grpc(server.grpc_url), [text.encode() for text in TEXTS], 16)
        np.testing.assert_allclose(found, tiny_engine.embed(TEXTS), **CLOSE)


def test_the_flavour_tensorrt(
    tmp_path: Path, tiny_bundle: Path, tiny_engine: EmbeddingEngine, triton_installation: Installation
) -> None:
    bundle = with_plan(tiny_bundle, tmp_path / "bundle", [(1, 2, 4, 1, 16, 64), (1, 1, 1, 1, 128, 512)])
    repository = write_repository(bundle, tmp_path / "models", ServingOptions(flavour="tensorrt"))
    serve_with_python(repository, bundle.read("model.onnx"))
    ids = tiny_engine.tokenizer.encode(TEXTS)
    fitting = [text for text, row in zip(TEXTS, ids, strict=True) if len(row) <= 512]
    with TritonServer(repository, installation=triton_installation) as server:
        ask = over_grpc(server.grpc_url)
        found = embeddings(ask, [text.encode() for text in fitting], 16)
        np.testing.assert_allclose(found, tiny_engine.embed(fitting), **CLOSE)
        with pytest.raises(AskedError, match="expected texts of at most 512 tokens"):
            ask([b"a " * 600])
        statistics = InferenceServerClient(server.grpc_url).get_inference_statistics("lam_model").model_stats[0]
        assert statistics.execution_count < len(fitting) + 10  # texts of like length went together
    shapes = {line.partition("SHAPE ")[2] for line in server.log.read_text().splitlines() if "SHAPE" in line}
    sizes = [tuple(map(int, shape.strip("()").split(", "))) for shape in shapes]
    assert all((rows <= 4 and tokens <= 64) or rows == 1 for rows, tokens in sizes)  # the profiles'
    assert {tokens for _, tokens in sizes} <= {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512}
    assert any(rows > 1 for rows, _ in sizes)


def test_a_failure_of_the_network_is_of_its_batch_alone(
    tmp_path: Path, tiny_bundle: Path, tiny_engine: EmbeddingEngine, triton_installation: Installation
) -> None:
    repository = write_repository(
        tiny_bundle, tmp_path / "models", ServingOptions(flavour="onnxruntime", batch_tokens=1)
    )
    serve_with_python(repository, Bundle(tiny_bundle).read("model.onnx"))
    with TritonServer(repository, installation=triton_installation) as server:
        ask = over_grpc(server.grpc_url)
        with pytest.raises(AskedError, match="out of memory"):
            ask([b"fine", b"[MASK]"])
        np.testing.assert_allclose(ask([b"fine"])["sentence_embedding"], tiny_engine.embed(["fine"]), **CLOSE)
