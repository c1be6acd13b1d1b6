"""Clients of others at the own server: HOW URL TEXTS OUTPUT. Runs in the environment ``light``."""

import json
import sys
from pathlib import Path

import numpy as np

how, url, texts_file, output = sys.argv[1:]
texts = json.loads(Path(texts_file).read_text())


def llama_index() -> object:
    from llama_index.embeddings.openai import OpenAIEmbedding

    client = OpenAIEmbedding(model_name="bundle", api_base=f"{url}/v1", api_key="key")
    return client.get_text_embedding_batch(texts)


def triton() -> object:
    import tritonclient.http as triton

    client = triton.InferenceServerClient(url.removeprefix("http://"))
    key = {"Authorization": "Bearer key"}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("bundle", headers=key)
    assert client.get_model_metadata("bundle", headers=key)["outputs"][0]["shape"] == [-1, 32]
    given = triton.InferInput("text", [len(texts), 1], "BYTES")
    given.set_data_from_numpy(np.array([[text.encode()] for text in texts], dtype=object), binary_data=False)
    outputs = [triton.InferRequestedOutput("sentence_embedding", binary_data=False)]
    found = client.infer("bundle", [given], outputs=outputs, request_id="mine", headers=key)
    assert found.get_response()["id"] == "mine"
    client.close()
    return found.as_numpy("sentence_embedding")


RUNS = {"llama-index": llama_index, "triton": triton}
np.save(output, np.asarray(RUNS[how](), dtype=np.float32))
