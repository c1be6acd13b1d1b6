"""What Python refuses of a bundle, the C++ engine refuses in the same words."""

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest
from bundles import forge, refusal, seal
from bundles import replace as replace_file
from cpp_engine import CppEngine

from lam_engines import load_engine
from lam_engines.bundles import writing
from lam_engines.bundles.writing import extend_bundle
from lam_engines.contract import CHECKSUMS, INLINED_MODEL, MANIFEST, MODEL, NEXT_MANIFEST, TOKENIZER

Change = Callable[[Path], object]


@pytest.fixture(autouse=True)
def same_graph(operators: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs the graph that the C++ engine runs."""
    monkeypatch.setenv("LAM_OPERATORS", str(operators))


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "models/a bundle"))


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Change:
    return lambda bundle: (bundle / name).write_bytes(change((bundle / name).read_bytes()))


def replace(name: str, make: Callable[[Path], object]) -> Change:
    def change(bundle: Path) -> None:
        shutil.copytree(bundle, bundle.parents[1] / "outside")
        (bundle / name).unlink()
        make(bundle / name)

    return change


def forged(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda bundle: forge(bundle, change)


def sealed(change: Change) -> Change:
    """Whatever becomes of the manifest, with the checksums that belong to it."""
    return lambda bundle: (change(bundle), seal(bundle))


def other_file(name: str, content: bytes) -> Change:
    return lambda bundle: replace_file(bundle, name, content)


def graph_with(change: Callable[[onnx.ModelProto], object]) -> Change:
    def changed(bundle: Path) -> None:
        model = onnx.load_from_string((bundle / MODEL).read_bytes())
        change(model)
        replace_file(bundle, MODEL, model.SerializeToString())

    return changed


def deep(model: onnx.ModelProto) -> None:
    for _ in range(40):
        inner = onnx.GraphProto()
        inner.CopyFrom(model.graph)
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.node.add(op_type="If").attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.CopyFrom(
            inner
        )


SAME: dict[str, Change] = {
    "a weight elsewhere": graph_with(
        lambda model: model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    ),
    "a weight marked as elsewhere": graph_with(
        lambda model: setattr(model.graph.initializer[0], "data_location", onnx.TensorProto.EXTERNAL)
    ),
    "a graph of many fields": other_file(MODEL, b"\x3a\x82\x89\x7a" + b"\x0a\0" * 1_000_001),
    "a deep graph": graph_with(deep),
    "ONNX Runtime's format": other_file(MODEL, b"\x18\0\0\0ORTM" + bytes(100)),
    "a group": other_file(MODEL, b"\x0b\x0c"),
    "no ONNX": other_file(MODEL, b"\0" * 99),
    "an endless number": other_file(MODEL, b"\x12" + b"\xff" * 20),
    "a field longer than the file": other_file(MODEL, b"\x12\x05grap"),
    "a huge graph": lambda bundle: os.truncate(bundle / MODEL, 1 << 42),
    "a huge manifest": lambda bundle: os.truncate(bundle / MANIFEST, 1 << 42),
    "huge checksums": lambda bundle: os.truncate(bundle / CHECKSUMS, 1 << 42),
    "no manifest": lambda bundle: (bundle / MANIFEST).unlink(),
    "a link to nothing": replace(MANIFEST, lambda path: path.symlink_to("nothing")),
    "a manifest from outside": replace(MANIFEST, lambda path: path.symlink_to(path.parents[2] / "outside" / path.name)),
    "a folder for a manifest": replace(MANIFEST, Path.mkdir),
    "a pipe for a manifest": replace(MANIFEST, os.mkfifo),
    "a web page's manifest": sealed(rewrite(MANIFEST, lambda _: b'{"name": "a web page", "icons": []}')),
    "a list": sealed(rewrite(MANIFEST, lambda _: b"[]")),
    "format 2": sealed(rewrite(MANIFEST, lambda _: b'{"format_version": 2}')),
    "format text": sealed(rewrite(MANIFEST, lambda _: b'{"format_version": "1\\n"}')),
    "another form": rewrite(MANIFEST, lambda content: content.replace(b'"flat"', b'"flag"')),
    "a digit": rewrite(MANIFEST, lambda content: content.replace(b'"bytes": 1', b'"bytes": 2', 1)),
    "a space more": rewrite(MANIFEST, lambda content: content + b" "),
    "a field twice": sealed(rewrite(MANIFEST, lambda c: c.replace(b'  "form"', b'  "form": "recurrent",\n  "form"'))),
    "a file twice": sealed(
        rewrite(MANIFEST, lambda c: c.replace(b'    "model.onnx"', b'    "model.onn\\u0078": {},\n    "model.onnx"'))
    ),
    "a manifest cut short": rewrite(MANIFEST, lambda content: content[:100]),
    "no checksums": lambda bundle: (bundle / CHECKSUMS).unlink(),
    "checksums: a link to nothing": replace(CHECKSUMS, lambda path: path.symlink_to("nothing")),
    "checksums: a link to itself": replace(CHECKSUMS, lambda path: path.symlink_to(path.name)),
    "checksums from outside": replace(CHECKSUMS, lambda path: path.symlink_to(path.parents[2] / "outside" / path.name)),
    "a folder for checksums": replace(CHECKSUMS, Path.mkdir),
    "a pipe for checksums": replace(CHECKSUMS, os.mkfifo),
    "empty checksums": rewrite(CHECKSUMS, lambda content: b""),
    "checksums without an end": rewrite(CHECKSUMS, lambda content: content[:-1]),
    "a comment in checksums": rewrite(CHECKSUMS, lambda content: b"# ours\n" + content),
    "an empty line in checksums": rewrite(CHECKSUMS, lambda content: content + b"\n"),
    "checksums in capitals": rewrite(CHECKSUMS, lambda content: content.upper()),
    "checksums of Windows": rewrite(CHECKSUMS, lambda content: content.replace(b"\n", b"\r\n")),
    "checksums without a manifest": rewrite(CHECKSUMS, lambda c: c.replace(b"  manifest.json", b"  manifest.jso")),
    "checksums with another manifest": rewrite(CHECKSUMS, lambda c: c.replace(b"manifest.json", b"manifest.next.json")),
    "two manifests": rewrite(CHECKSUMS, lambda content: content + b"0" * 64 + b"  manifest.next.json\n"),
    "two lines for the manifest": rewrite(CHECKSUMS, lambda content: content + b"0" * 64 + b"  manifest.json\n"),
    "two lines for a file": rewrite(CHECKSUMS, lambda content: content + content.splitlines(keepends=True)[-1]),
    "checksums of themselves": rewrite(CHECKSUMS, lambda content: content + b"0" * 64 + b"  SHA256SUMS\n"),
    "checksums that lead out": rewrite(CHECKSUMS, lambda content: content + b"0" * 64 + b"  ../x\n"),
    "checksums that are no UTF-8": rewrite(CHECKSUMS, lambda content: content + b"0" * 64 + b"  \xff\n"),
    "checksums of one more": rewrite(CHECKSUMS, lambda content: content + b"0" * 64 + "  a name é\n".encode()),
    "checksums of one less": rewrite(CHECKSUMS, lambda c: b"".join(c.splitlines(keepends=True)[:-1])),
    "another hash of a file": rewrite(CHECKSUMS, lambda content: content[:-70] + b"0" * 4 + content[-66:]),
    "no width": forged(lambda m: m["model"].update(hidden_size=0)),
    "no number": forged(lambda m: m["model"].update(hidden_size=[])),
    "padding outside": forged(lambda m: m["model"].update(pad_token_id=10**6)),
    "a path that leads out": forged(lambda m: m["files"].update({"../x": m["files"][MODEL]})),
    "a name with a line end": forged(lambda m: m["files"].update({"x\n": m["files"][MODEL]})),
    "half a hash": forged(lambda m: m["files"][MODEL].update(sha256="0" * 32)),
    "a negative size": forged(lambda m: m["files"][MODEL].update(bytes=-1)),
    "a graph that is no file": forged(lambda m: m["files"].pop(MODEL)),
    "no inlined graph": forged(
        lambda m: (m.update(form="recurrent"), m["files"].pop(INLINED_MODEL), m["graphs"].pop(INLINED_MODEL))
    ),
    "no chunk size": forged(lambda m: m.pop("chunk_size")),
    "no number of a chunk": forged(lambda m: m.update(chunk_size=[])),
    "no form": forged(lambda m: m.update(form=1)),
    "no tokenizer listed": forged(lambda m: m["files"].pop(TOKENIZER)),
    "a bit of the graph": rewrite(MODEL, lambda content: bytes([content[0] ^ 1]) + content[1:]),
    "a graph cut short": rewrite(MODEL, lambda content: content[:-1]),
    "an empty graph": rewrite(MODEL, lambda content: b""),
    "a longer graph": rewrite(MODEL, lambda content: content + b"\0"),
    "no graph": lambda bundle: (bundle / MODEL).unlink(),
    "a graph from outside": replace(MODEL, lambda path: path.symlink_to(path.parents[2] / "outside" / path.name)),
    "a folder for a graph": replace(MODEL, Path.mkdir),
    "a bit of the tokenizer": rewrite(TOKENIZER, lambda content: content + b" "),
}
ALIKE: dict[str, tuple[Change, str]] = {
    "no JSON": (sealed(rewrite(MANIFEST, lambda content: content[:100])), "is no valid JSON ("),
    "no UTF-8": (sealed(rewrite(MANIFEST, lambda content: b"\xff")), "make the bundle again|copy the bundle again"),
    "deeply nested": (sealed(rewrite(MANIFEST, lambda content: b"[" * 100_000)), "is no valid JSON ("),
    "infinity": (sealed(rewrite(MANIFEST, lambda c: c.replace(b"1e-12", b"Infinity"))), "is no valid JSON ("),
    "a link to itself": (replace(MANIFEST, lambda path: path.symlink_to(path.name)), "make one: lam-export onnx"),
    "another ONNX": (other_file(MODEL, b"\x12\x05graph"), f"expected {MODEL} with inputs |cannot load {MODEL}: "),
    "an empty file": (other_file(MODEL, b""), f"expected {MODEL} with inputs "),
    "no tokenizer": (other_file(TOKENIZER, b"{}"), "tokenizer"),
    "another width": (
        forged(lambda m: m["model"].update(hidden_size=64)),
        "and output sentence_embedding [?,64], found inputs attention_mask",
    ),
    "fewer words": (
        forged(lambda m: m["model"].update(vocab_size=5)),
        ", but the model has 5 word embeddings; take the one that the model was trained with",
    ),
}


@pytest.mark.parametrize("change", SAME)
def test_refused_in_the_same_words(cpp_engine: CppEngine, bundle: Path, change: str) -> None:
    SAME[change](bundle)
    assert cpp_engine.refusal(bundle) == refusal(lambda: load_engine(bundle, "openvino"))


@pytest.mark.parametrize("change", ALIKE)
def test_refused_with_a_reason_of_its_own(cpp_engine: CppEngine, bundle: Path, change: str) -> None:
    ALIKE[change][0](bundle)
    refusal(lambda: load_engine(bundle, "openvino"))
    said = cpp_engine.refusal(bundle)
    assert any(part in said for part in ALIKE[change][1].split("|")), said


@pytest.mark.parametrize("place", ["nothing", "file", "file/x", "x" * 300, "empty"])
def test_no_bundle_there(cpp_engine: CppEngine, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert cpp_engine.refusal(tmp_path / place) == refusal(lambda: load_engine(tmp_path / place, "openvino"))


def test_a_link_that_stays_inside_is_followed(cpp_engine: CppEngine, bundle: Path) -> None:
    (bundle / MODEL).rename(bundle / "blob")
    (bundle / MODEL).symlink_to("blob")
    (bundle.parent / "link").symlink_to(bundle)
    assert cpp_engine.embed(bundle.parent / "link", ["the cat"]).shape == (1, 32)


def test_a_bundle_in_hugging_faces_cache(cpp_engine: CppEngine, bundle: Path) -> None:
    cache = bundle.parents[1] / "models--user--lam"
    snapshot = cache / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for i, path in enumerate(sorted(bundle.iterdir())):
        path.rename(cache / "blobs" / str(i))
        (snapshot / path.name).symlink_to(f"../../blobs/{i}")
    for place in (snapshot, f"{snapshot}/"):
        assert cpp_engine.embed(Path(place), ["the cat"]).shape == (1, 32)


def test_a_bundle_whose_extension_was_interrupted(
    cpp_engine: CppEngine, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ``SHA256SUMS`` lists the new manifest under its other name, and the old one has its own still."""
    before = (bundle / MANIFEST).read_bytes()
    monkeypatch.setattr(writing, "_settle", lambda folder: None)
    extend_bundle(bundle, {"engines/a.plan": b"a plan"}, lambda m: m)
    assert (bundle / MANIFEST).read_bytes() == before
    assert cpp_engine.embed(bundle, ["the cat"]).shape == (1, 32)
    (bundle / MANIFEST).write_bytes(b"nothing that counts")
    assert cpp_engine.embed(bundle, ["the cat"]).shape == (1, 32)
    (bundle / NEXT_MANIFEST).write_bytes(before)
    assert cpp_engine.refusal(bundle) == refusal(lambda: load_engine(bundle, "openvino"))


def test_bundles_that_are_extended_are_read_all_the_while(cpp_engine: CppEngine, bundle: Path) -> None:
    done = threading.Event()

    def extend() -> None:
        i = 0
        while not done.is_set():
            i += 1
            extend_bundle(bundle, {f"{i}": b"1"}, lambda m: m, drop=[f"{i - 1}"])

    with ThreadPoolExecutor(1) as pool:
        extending = pool.submit(extend)
        try:
            for _ in range(10):
                assert cpp_engine.embed(bundle, ["the cat"]).shape == (1, 32)
        finally:
            done.set()
        extending.result()


def test_members_that_later_versions_add(cpp_engine: CppEngine, bundle: Path) -> None:
    forge(bundle, lambda m: (m["model"].update(later=1), m.update(later=None)))
    assert cpp_engine.embed(bundle, ["the cat"]).shape == (1, 32)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--engine", "nothing"], "expected engine openvino, tensorrt or tensorrt-rtx, found 'nothing'"),
        (["--precision", "fp16"], "expected precision fp32 or bf16 with the engine openvino, found 'fp16'"),
        (["--threads", "0"], "expected --threads from 1 to 1024, found '0'"),
        (["--batch-tokens", "x"], "expected --batch-tokens from 1 to"),
        (["--nonsense"], "no such option: '--nonsense'. See: lam-embed --help"),
    ],
)
def test_options_that_it_does_not_have(cpp_engine: CppEngine, tiny_bundle: Path, options: list[str], part: str) -> None:
    assert part in cpp_engine.refusal(tiny_bundle, *options)
