"""``lam-export embed --format openai-batch``: OpenAI's requests in, its answers out."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import lam_export, refusal
from openai.types import CreateEmbeddingResponse
from served import CLOSE, mixed

from lam_engines.embedding.engine import EmbeddingEngine


def request(number: int, texts: object, url: str = "/v1/embeddings", **fields: Any) -> str:
    body = {"model": "bundle", "input": texts, **fields}
    return json.dumps({"custom_id": f"request-{number}", "method": "POST", "url": url, "body": body})


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_request_is_answered_as_by_the_api(
    tiny_bundle: Path, tiny_engine: EmbeddingEngine, tmp_path: Path
) -> None:
    texts = mixed(60)
    lines = [request(i, text) for i, text in enumerate(texts)]
    lines += [request(60, texts, encoding_format="base64", dimensions=32, user="x", unknown=[1])]
    source, output = tmp_path / "requests.jsonl.gz", tmp_path / "answers.jsonl"
    source.write_bytes(gzip.compress("\n".join(lines).encode()))
    arguments = ("embed", tiny_bundle, "--input", source, "--format", "openai-batch", "-o", output)
    result = lam_export(*arguments)
    assert result.returncode == 0, result.stderr
    assert f"Wrote {output} (61 requests, 120 texts)" in result.stderr
    found = rows(output)
    assert [row["custom_id"] for row in found] == [f"request-{i}" for i in range(61)]
    assert {tuple(row) for row in found} == {("id", "custom_id", "response", "error")}
    assert {(row["error"], row["response"]["status_code"]) for row in found} == {(None, 200)}
    bodies = [CreateEmbeddingResponse.model_validate(row["response"]["body"]) for row in found[:60]]
    expected = tiny_engine.embed(texts)
    np.testing.assert_allclose([body.data[0].embedding for body in bodies], expected, **CLOSE)
    packed = [np.frombuffer(base64.b64decode(x["embedding"]), "<f4") for x in found[60]["response"]["body"]["data"]]
    np.testing.assert_allclose(packed, expected, **CLOSE)
    tokens = [len(ids) for ids in tiny_engine.tokenizer.encode(texts)]
    assert [body.usage.prompt_tokens for body in bodies] == tokens
    assert found[60]["response"]["body"]["usage"] == {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}
    assert {path.name for path in tmp_path.iterdir()} == {source.name, output.name}
    assert "found" in refusal(*arguments), "it is there"
    before = output.read_bytes()
    assert lam_export(*arguments, "--force").returncode == 0
    assert output.read_bytes() == before


def test_errors_are_those_of_openai_line_by_line(tiny_bundle: Path, tmp_path: Path) -> None:
    lines = {
        request(0, "cat"): None,
        request(1, "cat", model="text-embedding-3-small"): (404, "model_not_found", "model"),
        request(2, "cat", dimensions=8): (400, None, "dimensions"),
        request(3, [[1, 2]]): (400, "token_ids_not_supported", "input"),
        request(4, []): (400, None, "input"),
        request(5, "cat", encoding_format="int8"): (400, None, "encoding_format"),
        request(6, "cat " * 200_000): (413, "text_too_long", "input"),
        request(7, "cat", truncate=True): (400, None, "truncate"),
        request(8, "cat", url="/v1/chat/completions"): "invalid_url",
        request(0, "dog"): "duplicate_custom_id",
        "{": "invalid_json_line",
        "[" * 100_000: "invalid_json_line",
        '{"custom_id": 7}': "invalid_json_line",
        "\udcff": "invalid_json_line",
        "": "nothing",
        request(9, ["dog", "\ud800"]): None,
    }
    source, output = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    source.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    result = lam_export(
        *("embed", tiny_bundle, "--input", source, "--format", "openai-batch", "-o", output),
        *("--max-text-bytes", 500_000),
    )
    assert result.returncode == 2, result.stderr
    assert "13 requests were answered with an error; see " in result.stderr
    assert [row["custom_id"] for row in rows(output)] == ["request-0", "request-9"]
    wanted = [what for what in lines.values() if what not in (None, "nothing")]
    for row, what in zip(rows(tmp_path / "answers.jsonl.errors.jsonl"), wanted, strict=True):
        if isinstance(what, str):
            assert (row["response"], row["error"]["code"]) == (None, what)
        else:
            error = row["response"]["body"]["error"]
            assert (row["response"]["status_code"], error["code"], error["param"]) == what
            assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "a.npy"), "expected an output file ending in .jsonl"),
        ((), "expected --input FILE and -o FILE.jsonl"),
        (("-o", "a.jsonl", "--column", "x"), "expected none of --column"),
        (("-o", "a.jsonl", "--ray"), "no --ray with --format openai-batch"),
        (("-o", "no/folder/a.jsonl"), "expected a folder at"),
    ],
)
def test_what_does_not_apply(tiny_bundle: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    source = tmp_path / "requests.jsonl"
    source.write_text(request(0, "cat"))
    assert message in refusal("embed", tiny_bundle, "--input", source, "--format", "openai-batch", *arguments)
