"""Run by tests in the environment ``light``: HOW FOLDER TEXTS.json OUTPUT.npy."""

import json
import os
import sys
from collections.abc import Iterator

os.environ.update(HF_HUB_OFFLINE="1", ORT_DISABLE_TELEMETRY="1")
import numpy as np

how, folder, texts_file, output = sys.argv[1:]
with open(texts_file) as file:
    texts = json.load(file)


def fastembed(graph: str) -> list[np.ndarray]:
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="local/lam",
        pooling=PoolingType.DISABLED,
        normalization=False,
        sources=ModelSource(hf="local/lam"),
        dim=384,
        model_file=graph,
    )
    return list(TextEmbedding("local/lam", specific_model_path=folder).embed(texts, batch_size=8))


def onnxruntime_openvino(graph: str) -> np.ndarray:
    import onnxruntime
    import onnxruntime_ep_openvino

    name = onnxruntime_ep_openvino.get_ep_name()
    onnxruntime.register_execution_provider_library(name, onnxruntime_ep_openvino.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if "OpenVINO" in device.ep_name]
    cpu = [device for device in devices if "CPU" in str(device.device.type)][:1]
    if not cpu:
        sys.exit(0)  # the provider takes Intel's processors alone; the test is skipped
    config = os.path.join(os.path.dirname(output), "openvino.json")
    with open(config, "w") as file:
        json.dump({"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}, file)
    options = onnxruntime.SessionOptions()
    options.add_provider_for_devices(cpu, {"load_config": config})
    return np.concatenate(list(_rows(onnxruntime.InferenceSession(os.path.join(folder, graph), options))))


def onnxruntime_plain(graph: str) -> np.ndarray:
    import onnxruntime

    return np.concatenate(list(_rows(onnxruntime.InferenceSession(os.path.join(folder, graph)))))


def _rows(session: object) -> Iterator[np.ndarray]:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        yield session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]


RUNS = {
    "fastembed": lambda: fastembed("onnx/model.onnx"),
    "fastembed int8": lambda: fastembed("onnx/model_quantized.onnx"),
    "onnxruntime": lambda: onnxruntime_plain("onnx/model.onnx"),
    "onnxruntime bundle": lambda: onnxruntime_plain("model.onnx"),
    "onnxruntime openvino": lambda: onnxruntime_openvino("onnx/model.onnx"),
    "onnxruntime openvino bundle": lambda: onnxruntime_openvino("model.onnx"),
}
np.save(output, np.asarray(RUNS[how](), dtype=np.float32))
