"""text-embeddings-inference's and KServe's APIs, and the clients of others, unchanged."""

import numpy as np
import pytest
from over_http import ask
from served import CLOSE

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.serving.http import HttpServer

TEXTS = ["the cat sleeps", "", "東 🧿 ж"]


@pytest.mark.parametrize("path", ["", "/embed"])
def test_hugging_faces_client(server: HttpServer, tiny_engine: EmbeddingEngine, path: str) -> None:
    from huggingface_hub import InferenceClient

    client = InferenceClient(model=server.url + path)
    found = client.feature_extraction(TEXTS[0], normalize=True, truncate=True)
    np.testing.assert_allclose(found, tiny_engine.embed(TEXTS[:1]), **CLOSE)
    np.testing.assert_allclose(client.feature_extraction(TEXTS), tiny_engine.embed(TEXTS), **CLOSE)  # type: ignore[arg-type]


@pytest.mark.needs("langchain_openai")
def test_langchain(server: HttpServer, tiny_engine: EmbeddingEngine) -> None:
    from langchain_openai import OpenAIEmbeddings

    client = OpenAIEmbeddings(
        model="bundle", base_url=f"{server.url}/v1", api_key="none", check_embedding_ctx_length=False
    )
    np.testing.assert_allclose(client.embed_documents(TEXTS), tiny_engine.embed(TEXTS), **CLOSE)


def test_tensors_that_are_none(server: HttpServer) -> None:
    def infer(**fields: object) -> tuple[int, str]:
        tensor = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": ["cat"]} | fields
        answer = ask(server, "/v2/models/bundle/infer", {"inputs": [tensor]})
        return answer.status, answer.json.get("error", "")

    assert infer()[0] == 200
    assert infer(shape=[2, 1]) == (400, "expected text of shape [1, 1] for its data, found [2, 1]")
    for wrong in ({"shape": [-1, 1]}, {"shape": [2**40, 2**40]}, {"shape": [2**70]}, {"datatype": "FP32"}):
        assert infer(**wrong)[0] == 400
    assert infer(data=[1])[0] == 400
    assert infer(name="x")[0] == 400
    unknown = ask(server, "/v2/models/bundle/infer", {"inputs": [], "outputs": [{"name": "x"}]})
    assert unknown.status == 400
    assert ask(server, "/v2/models/other").status == 404


def test_tei_tokens_and_facts(server: HttpServer, tiny_engine: EmbeddingEngine) -> None:
    ids = tiny_engine.tokenizer.encode(["the cat"])[0].tolist()
    (tokens,) = ask(server, "/tokenize", {"inputs": "the cat"}).json
    assert [token["id"] for token in tokens] == ids
    assert tokens[0] == {"id": ids[0], "text": "[CLS]", "special": True, "start": None, "stop": None}
    assert (tokens[1]["start"], tokens[1]["stop"]) == (0, 3)
    (plain,) = ask(server, "/tokenize", {"inputs": ["the cat"], "add_special_tokens": False}).json
    assert [token["id"] for token in plain] == ids[1:-1]
    found = ask(server, "/info").json
    assert (found["model_id"], found["max_input_length"], found["auto_truncate"]) == ("bundle", 8192, False)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"inputs": []}, 400),
        ({"inputs": [[1, 2]]}, 400),
        ({"inputs": "cat", "normalize": False}, 422),
        ({"inputs": "cat", "prompt_name": "query"}, 422),
        ({"inputs": "cat", "truncation_direction": "Left"}, 422),
        ({"inputs": "cat", "dimensions": 8}, 400),
        ({"inputs": "cat " * 9000}, 413),
        ({"inputs": "cat " * 9000, "truncate": True}, 200),
        ({"inputs": "cat", "normalize": True, "truncation_direction": "Right", "dimensions": 32}, 200),
    ],
    ids=lambda value: str(value)[:50],
)
def test_tei_refuses_in_its_own_words(server: HttpServer, fields: dict[str, object], status: int) -> None:
    answer = ask(server, "/embed", fields)
    assert answer.status == status
    if status != 200:
        assert set(answer.json) == {"error", "error_type"}
