"""Bundles, texts and embeddings on object storage: a real S3 service, on loopback."""

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pyarrow.parquet as pq
import pytest
from clusters import bucket
from commands import MAIN, lam_export, lam_export_process, refusal

from lam_engines import BundleError, InputError, load_engine
from lam_engines.bulk import embedder
from lam_engines.contract import CACHE_VARIABLE, CHECKSUMS
from lam_engines.files import read_rows
from lam_engines.storage import is_remote, place_of

pytestmark = [pytest.mark.heavy, pytest.mark.needs("moto", "s3fs", "upath")]
TEXTS = [f"the dog runs {i}" for i in range(50)]


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    with bucket() as uri:
        yield uri


@pytest.fixture
def there(storage: str, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, with the bundle in it; and an empty cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    folder = place_of(f"{storage}/{tmp_path.name}")
    put(folder, "bundle", tiny_bundle)
    return folder


def strict(requests: str) -> None:
    """Let the service check keys after so many requests."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    urlopen(Request(url, requests.encode(), {"Content-Type": "text/plain"})).close()


def forget() -> None:
    """Let s3fs read its environment again."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def put(folder: Path, name: str, source: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            (folder / name / path.relative_to(source).as_posix()).write_bytes(path.read_bytes())


def test_places() -> None:
    assert place_of("a/b.txt") == Path("a/b.txt")
    assert place_of("file:///a/b.txt") == Path("/a/b.txt")
    assert is_remote(place_of("s3://b/x"))
    assert not is_remote(place_of("/a/b"))
    with pytest.raises(InputError, match="a URI with s3://"):
        place_of("gopher://x/y")
    for uri, extra in (("gs://b/x", "gs"), ("az://b/x", "az")):
        with pytest.raises(InputError, match=rf"expected the packages for {extra}://.*\[{extra}\]'"):
            place_of(uri)
    assert refusal("inspect", "gs://b/x").startswith(
        "error: gs://b/x: expected the packages for gs://, found one missing"
    )


def test_a_bundle_is_fetched_once(there: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    uri = f"{there}/bundle"
    with load_engine(uri) as engine, load_engine(tiny_bundle) as local:
        np.testing.assert_array_equal(engine.embed(TEXTS), local.embed(TEXTS))
    (cached,) = (tmp_path / "cache" / "bundles").iterdir()
    before = (cached / "model.onnx").stat().st_mtime_ns
    shown = lam_export("inspect", uri, "--json")
    assert json.loads(shown.stdout)["manifest_sha256"] == cached.name
    assert (cached / "model.onnx").stat().st_mtime_ns == before
    (cached / "model.onnx").write_bytes(b"damaged")
    load_engine(uri).close()
    assert (cached / "model.onnx").read_bytes() == (tiny_bundle / "model.onnx").read_bytes()


def test_a_bundle_that_is_damaged_there(there: Path) -> None:
    model = there / "bundle" / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + b"x")
    with pytest.raises(BundleError, match=r"model\.onnx differs from its hash"):
        load_engine(f"{there}/bundle")
    model.write_bytes(content + b"x")
    with pytest.raises(BundleError, match="expected at most"):
        load_engine(f"{there}/bundle")
    (there / "bundle" / CHECKSUMS).write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="was altered or damaged"):
        load_engine(f"{there}/bundle")
    with pytest.raises(BundleError, match=r"expected a bundle with SHA256SUMS at s3://.*, found none"):
        load_engine(f"{there}/none")


def test_texts_of_every_kind(there: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (there / "a.csv.gz").write_bytes(gzip.compress("\n".join(["text", *TEXTS]).encode()))
    result = lam_export("embed", f"{there}/bundle", "--input", there / "a.csv.gz", "-o", there / "a.parquet")
    assert result.returncode == 0, result.stderr
    with (there / "a.parquet").open("rb") as file:
        assert pq.read_table(file)["text"].to_pylist() == TEXTS
    result = lam_export("embed", tiny_bundle, "--input", there / "a.parquet", "-o", tmp_path / "b.jsonl")
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "b.jsonl").read_text().splitlines()) == len(TEXTS)
    assert "replace it with --force" in refusal(
        "embed", tiny_bundle, "--input", there / "a.csv.gz", "-o", there / "a.parquet"
    )


def test_a_folder_to_a_folder(there: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    lines = [json.dumps(text) for text in TEXTS]
    for name, some in (("a.jsonl", lines[:30]), ("b.jsonl", [*lines[30:], "broken"])):
        (tmp_path / "in" / name).write_text("\n".join(some))
    put(there, "in", tmp_path / "in")
    (there / "in" / "_hidden.jsonl").write_bytes(b"x")
    options = ("--partition-rows", 20, "--on-error", "skip")
    for place, output in ((there / "in", there / "out"), (tmp_path / "in", tmp_path / "out")):
        result = lam_export("embed", tiny_bundle, "--input", place, "-o", output, *options)
        assert result.returncode == 0, result.stderr
        assert "1 rows had no readable text (--on-error skip)" in result.stderr
    names = sorted(path.name for path in (there / "out").iterdir())
    assert names == ["_errors.jsonl", "_plan.json", *(f"part-00000{i}.parquet" for i in range(3))]
    for name in names[2:]:
        assert (there / "out" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()

    (there / "out" / names[3]).unlink()
    again = lam_export("embed", tiny_bundle, "--input", there / "in", "-o", there / "out", *options)
    assert "in 3 files, 2 of them by earlier runs" in again.stderr
    (there / "in" / "b.jsonl").write_bytes(b'"other"\n')
    assert "found it changed: b.jsonl" in refusal(
        "embed", tiny_bundle, "--input", there / "in", "-o", there / "out", *options
    )
    forced = lam_export("embed", tiny_bundle, "--input", there / "in", "-o", there / "out", "--force")
    assert "31 embeddings" in forced.stderr


def test_what_is_not_there(there: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (there / "a.txt").write_bytes(b"one\n")
    missing = "expected a file or folder of texts, found nothing at s3://no-such-bucket/x"
    assert missing in refusal("embed", tiny_bundle, "--input", "s3://no-such-bucket/x", "-o", there / "out")
    assert "The specified bucket does not exist" in refusal(
        "embed", tiny_bundle, "--input", there / "a.txt", "-o", "s3://no-such-bucket/x"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget()
    assert "Could not connect to the endpoint" in refusal("inspect", f"{there}/bundle")
    forget()


def test_keys_that_the_storage_does_not_know(there: Path, tiny_bundle: Path) -> None:
    (there / "a.txt").write_bytes(b"one\n")
    strict("0")
    try:
        assert "check the name, the network and the credentials" in refusal("inspect", f"{there}/bundle")
        said = refusal("embed", tiny_bundle, "--input", there / "a.txt", "-o", there / "out")
        assert "Forbidden" in said or "Access Key Id" in said, said
    finally:
        strict("inf")
    assert not (there / "out").exists()


def test_a_full_disk(there: Path, tiny_bundle: Path) -> None:
    """Partitions are written to the temporary folder first."""
    (there / "a.txt").write_bytes("".join(f"text {i}\n" for i in range(2000)).encode())
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "
    command = ("embed", tiny_bundle, "--input", there / "a.txt", "-o", there / "out")
    result = lam_export_process(*command, code=full + MAIN)
    assert result.returncode == 1
    assert "expected room for the embeddings, found: File too large" in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert [path.name for path in (there / "out").iterdir()] == ["_plan.json"]


@contextmanager
def in_front(fails: Callable[[dict[str, Any]], bool]) -> Iterator[None]:
    """The service behind one that answers 503 to some requests, as a load balancer does."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    service = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], respond: Any) -> Any:
        if not fails(environ):
            return service(environ, respond)
        respond("503 Service Unavailable", [("Content-Length", "0")])
        return [b""]

    with served(answer):
        yield


@contextmanager
def served(answer: Any) -> Iterator[None]:
    """Another service in place of the usual one."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        forget()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    forget()


def test_a_service_that_fails_for_a_moment(there: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def fails(request: dict[str, Any]) -> bool:
        if request["REQUEST_METHOD"] == "PUT" and "part-" in request["PATH_INFO"] and len(refused) < 4:
            refused.append(request["PATH_INFO"])
        else:
            return False
        return True

    (there / "a.txt").write_bytes(b"one\ntwo\n")
    command = ("embed", tiny_bundle, "--input", f"{there}/a.txt", "-o", f"{there}/out")
    with in_front(fails):
        monkeypatch.setattr(embedder, "_PAUSES", (0.1, 0.1, 0.1))
        result = lam_export(*command)
        assert result.returncode == 0, result.stderr
        assert len(refused) == 4
        monkeypatch.setattr(embedder, "_PAUSES", ())
        refused.clear()
        assert "Service Unavailable" in refusal(*command, "--force")


def test_a_service_that_fails_while_a_file_is_read(there: Path) -> None:
    (there / "a.txt").write_bytes(b"".join(b"the dog runs %d\n" % i for i in range(600_000)))
    dead: list[bool] = []
    with in_front(lambda request: bool(dead)), read_rows(place_of(f"{there}/a.txt")) as rows:
        assert next(rows).text == "the dog runs 0"
        dead.append(True)
        with pytest.raises(
            InputError, match=r"expected a readable file of texts, found s3://.*Service Unavailable"
        ) as found:
            list(rows)
    assert found.value.passing


def test_keys_that_may_only_read(there: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    iam = boto3.client("iam", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    iam.create_user(UserName="reader")
    allowed = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    (there / "a.txt").write_bytes(b"one\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    forget()
    strict("0")
    try:
        assert lam_export("inspect", f"{there}/bundle").returncode == 0
        for output in (f"{there}/out", f"{there}/out.npy"):
            said = refusal("embed", tiny_bundle, "--input", f"{there}/a.txt", "-o", output)
            assert "Access Denied" in said or "not authorized" in said, said
    finally:
        strict("inf")
        forget()
    assert not (there / "out").exists()


def test_keys_that_have_expired(there: Path, tiny_bundle: Path) -> None:
    """The answer is that of S3, which the service of these tests does not give."""
    from werkzeug.wrappers import Response

    said = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    with served(Response(said, 400, content_type="application/xml")):
        assert "check the name, the network and the credentials" in refusal("inspect", f"{there}/bundle")
        refusal("embed", tiny_bundle, "--input", f"{there}/a.txt", "-o", f"{there}/out")


def test_the_storage_is_not_asked_for_credentials_it_has_not(
    there: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    forget()
    said = refusal("inspect", f"{there}/bundle")
    assert re.search("credentials", said), said
    forget()
