"""Keys, TLS, hosts and browsers; several bundles and their replacement; what is counted and written down."""

import hmac
import http.client
import json
import re
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree, rmtree
from threading import Thread
from typing import Any

import numpy as np
import pytest
from over_http import ask, held_up, place
from served import CLOSE

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import EngineError, InputError
from lam_engines.serving.http import HttpOptions, HttpServer, read_keys

ASKED = {"model": "bundle", "input": "the cat sleeps"}
PATHS = ("/v1/embeddings", "/v1/models", "/embed", "/tokenize", "/info", "/v2", "/v2/models/bundle/infer", "/metrics")


def test_without_a_key_only_health_answers(tiny_bundle: Path) -> None:
    with HttpServer([tiny_bundle], HttpOptions(port=0, api_keys=("first", "s€cond"))) as server:
        for path in (*PATHS, "/admin/reload", "/nothing", "/"):
            answer = ask(server, path, {} if path in ("/embed", "/") else None)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.json["error"]["code"] == "invalid_api_key"
        for path in ("/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"):
            assert ask(server, path).status == 200
        assert ask(server, "/v1/embeddings", ASKED, Authorization="Bearer first").status == 200
        second = "bearer s€cond".encode().decode("latin-1")
        assert ask(server, "/v1/embeddings", ASKED, Authorization=second).status == 200
        assert ask(server, "/v1/embeddings", ASKED, X_Api_Key="first").status == 200
        for wrong in ("Bearer firs", "Bearer first2", "Bearer", "Basic first", "first", ""):
            assert ask(server, "/v1/embeddings", ASKED, Authorization=wrong).status == 401


def test_the_time_of_a_wrong_key_tells_nothing(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong, the same is compared: hashes of equal size, with every key, in constant time."""
    sizes: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def seen(one: bytes, other: bytes) -> bool:
        sizes.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", seen)
    with HttpServer([tiny_bundle], HttpOptions(port=0, api_keys=("a" * 64, "other"))) as server:
        for given, status in {"a" * 63 + "b": 401, "b": 401, "": 401, "a" * 64: 200, "other": 200}.items():
            sizes.clear()
            assert ask(server, "/v1/models", Authorization=f"Bearer {given}").status == status
            assert sizes == [(32, 32)] * 2


@pytest.mark.needs("trustme")
def test_tls(tiny_bundle: Path, tmp_path: Path) -> None:
    import trustme

    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with HttpServer([tiny_bundle], HttpOptions(port=0, tls_cert=chain, tls_key=key)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        connection = http.client.HTTPSConnection(*place(server), context=context)
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
        connection.close()
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(server, "/readyz")
    with pytest.raises(EngineError, match="expected a certificate and its key in PEM files"):
        HttpServer([tiny_bundle], HttpOptions(port=0, tls_cert=key, tls_key=chain))
    with pytest.raises(InputError, match="found one alone"):
        HttpOptions(tls_cert=chain)


def test_browsers_of_other_pages(tiny_bundle: Path) -> None:
    page = "https://example.org"
    options = HttpOptions(port=0, api_keys=("k",), cors_origins=(page,), allowed_hosts=("lam.example",))
    with HttpServer([tiny_bundle], options) as server:
        asked = {"Origin": page, "Access_Control_Request_Method": "POST"}
        asked["Access_Control_Request_Headers"] = "authorization,content-type"
        answer = ask(server, "/v1/embeddings", None, "OPTIONS", **asked)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page)
        assert ask(server, "/v1/embeddings", None, "OPTIONS", **{**asked, "Origin": "https://evil"}).status == 400
        answer = ask(server, "/v1/embeddings", ASKED, Origin=page, Host="lam.example:443", Authorization="Bearer k")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page)
        assert ask(server, "/v1/embeddings", ASKED, Host="localhost", Authorization="Bearer k").status == 403


def test_other_addresses_need_a_key() -> None:
    for host in ("0.0.0.0", "192.168.0.1", "::", "example.org"):
        with pytest.raises(InputError, match="expected an API key to listen on"):
            HttpOptions(host=host)
    HttpOptions(host="0.0.0.0", insecure=True)
    HttpOptions(host="0.0.0.0", api_keys=("k",))
    HttpOptions(host="::1")


def test_keys_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the team\nfirst\n\n  second \n")
    assert read_keys(file) == ("first", "second")
    for content in (b"", b"# none\n", b"\xff"):
        file.write_bytes(content)
        with pytest.raises(InputError, match="expected a"):
            read_keys(file)
    with pytest.raises(InputError, match="expected a text file with API keys"):
        read_keys(tmp_path / "missing")


def test_several_bundles(tiny_bundle: Path, tmp_path: Path, tiny_engine: EmbeddingEngine) -> None:
    other = copytree(tiny_bundle, tmp_path / "another")
    with HttpServer([other, tiny_bundle], HttpOptions(port=0)) as server:
        assert [model["id"] for model in ask(server, "/v1/models").json["data"]] == ["another", "bundle"]
        for name in ("another", "bundle"):
            found = ask(server, "/v1/embeddings", ASKED | {"model": name}).json["data"][0]["embedding"]
            np.testing.assert_allclose(found, tiny_engine.embed(["the cat sleeps"])[0], **CLOSE)
        assert ask(server, "/info").json["model_id"] == "another"
        assert ask(server, "/v1/embeddings", ASKED | {"model": "third"}).status == 404
    with pytest.raises(InputError, match="expected bundles in folders with names of their own"):
        HttpServer([tiny_bundle, tiny_bundle], HttpOptions(port=0))


def test_a_bundle_is_replaced_without_a_gap(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = copytree(tiny_bundle, tmp_path / "bundle")
    with HttpServer([bundle], HttpOptions(port=0, admin_key="root")) as server:
        assert ask(server, "/admin/reload", b"").status == 403
        assert ask(server, "/admin/reload", b"", X_Admin_Key="roo").status == 403
        old = server.models.first
        with held_up(server) as (going, begun), ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(ask, server, "/v1/embeddings", ASKED)
            while not begun:
                time.sleep(0.01)
            assert ask(server, "/admin/reload", b"", X_Admin_Key="root").json == {"reloaded": ["bundle"]}
            assert server.models.first is not old
            going.set()
            assert under_way.result().status == 200
        assert ask(server, "/v1/embeddings", ASKED).status == 200
        now = server.models.first
        (bundle / "model.onnx").write_bytes(b"broken")
        answer = ask(server, "/admin/reload", b"", X_Admin_Key="root")
        assert (answer.status, "nothing was changed" in answer.json["error"]["message"]) == (409, True)
        rmtree(bundle)
        assert ask(server, "/admin/reload", b"", X_Admin_Key="root").status == 409
        assert server.models.first is now
        assert ask(server, "/v1/embeddings", ASKED).status == 200
    with HttpServer([tiny_bundle], HttpOptions(port=0)) as server:
        assert ask(server, "/admin/reload", b"", X_Admin_Key="").status == 403


def test_what_is_counted_and_written_down(tiny_bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    with HttpServer([tiny_bundle], HttpOptions(port=0, access_log=str(log)), engine="onnxruntime") as server:
        secret = "confidential words"
        asked = {"model": "bundle", "input": [secret, "the cat"]}
        assert ask(server, "/v1/embeddings", asked, X_Request_Id="mine-1").status == 200
        assert ask(server, f"/v1/models/{secret.replace(' ', '%20')}?{secret[:4]}").status == 404
        assert ask(server, "/v1/embeddings", {"model": secret, "input": [7]}).status == 400
        assert ask(server, f"/{secret[:12]}").status == 404
        counted = ask(server, "/metrics").content.decode()
    written = log.read_text()
    assert "confidential" not in written + counted
    first, *others = map(json.loads, written.splitlines())
    assert (first["id"], first["path"], first["status"], first["model"]) == ("mine-1", "/v1/embeddings", 200, "bundle")
    assert (first["texts"], first["bytes_in"]) == (2, len(json.dumps(asked)))
    assert first["tokens"] > 4
    assert {"tokenize_seconds", "queue_seconds", "compute_seconds", "seconds"} <= set(first)
    assert [line["path"] for line in others] == ["/v1/models/{name:path}", "/v1/embeddings", "other", "/metrics"]
    labels = 'engine="onnxruntime",model="bundle",precision="fp32"'
    assert f"lam_texts_total{{{labels}}} 2.0" in counted
    for name in ("lam_tokens_total", "lam_padding_tokens_total", "lam_batch_texts_count", "lam_waiting_tokens"):
        assert f"{name}{{{labels}}}" in counted
    for stage in ("queue", "tokenize", "compute"):
        assert f'lam_stage_seconds_count{{{labels},stage="{stage}"}}' in counted
    assert 'lam_requests_total{path="/v1/embeddings",status="400"} 1.0' in counted
    with pytest.raises(EngineError, match="expected a file for --access-log"):
        HttpServer([tiny_bundle], HttpOptions(port=0, access_log=str(tmp_path)))


@pytest.mark.needs("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
def test_traces(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    sent: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            sent.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=collector.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "embeddings")
    trace = "0af7651916cd43dd8448eb211c80319c"
    with HttpServer([tiny_bundle], HttpOptions(port=0, tracing=True)) as server:
        assert ask(server, "/v1/embeddings", ASKED, Traceparent=f"00-{trace}-b7ad6b7169203331-01").status == 200
    collector.shutdown()
    collector.server_close()
    (resource,) = sent[0].resource_spans
    assert "embeddings" in str(resource.resource)
    *stages, span = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex()) == ("POST /v1/embeddings", trace)
    assert {"http.response.status_code", "lam.tokens", "lam.texts"} <= {x.key for x in span.attributes}
    assert [stage.name for stage in stages] == ["tokenize", "queue", "compute"]
    assert {(stage.parent_span_id, stage.trace_id) for stage in stages} == {(span.span_id, span.trace_id)}
    moments = [x for stage in stages for x in (stage.start_time_unix_nano, stage.end_time_unix_nano)]
    assert moments == sorted(moments)
    margin = 1_000_000_000  # two clocks are read, not at the same moment
    assert span.start_time_unix_nano - margin < moments[0]
    assert moments[-1] < span.end_time_unix_nano + margin
    assert "cat" not in str(sent[0])


def test_the_dashboard_shows_what_is_counted(server: HttpServer) -> None:
    assert ask(server, "/v1/embeddings", ASKED).status == 200
    counted = ask(server, "/metrics").content.decode()
    dashboard = json.loads((Path(__file__).parents[4] / "examples" / "serving" / "grafana.json").read_text())
    asked = {
        name for panel in dashboard["panels"] for x in panel["targets"] for name in re.findall(r"lam_\w+", x["expr"])
    }
    known = set(re.findall(r"^# TYPE (\w+) ", counted, re.MULTILINE)) | set(
        re.findall(r"^lam_\w+", counted, re.MULTILINE)
    )
    assert len(asked) > 8
    assert asked <= known
