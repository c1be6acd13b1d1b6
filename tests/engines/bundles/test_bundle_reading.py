"""Bundles that are read: nothing in them is trusted."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from bundles import FILES, forge, forge_manifest, read_all, refusal, seal, write
from hypothesis import given
from hypothesis import strategies as st

from lam_engines.bundles.bundle import Bundle
from lam_engines.bundles.manifest import FileEntry, Graph, Manifest, ModelInfo, Source, TensorSpec
from lam_engines.contract import CHECKSUMS, MANIFEST
from lam_engines.errors import BundleError

NAMES = st.from_regex(r"[a-zé東0-9_. -]{0,9}[a-zé0-9]\.onnx", fullmatch=True)
SHA256 = st.from_regex("[0-9a-f]{64}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SIZES = st.integers(1, 2**40)
SOURCES = st.builds(Source, file=TEXTS, sha256=SHA256)
SPECS = st.lists(st.builds(TensorSpec, name=TEXTS, dtype=TEXTS, shape=st.tuples(SIZES, TEXTS)), max_size=2).map(tuple)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    files = draw(st.dictionaries(NAMES, st.builds(FileEntry, sha256=SHA256, bytes=SIZES), max_size=3))
    graph = st.builds(Graph, opset=SIZES, inlined=st.booleans(), inputs=SPECS, outputs=SPECS)
    sizes = {name: SIZES for name, field in ModelInfo.model_fields.items() if field.annotation is int}
    sizes["pad_token_id"] = st.just(0)
    model = st.builds(ModelInfo, **sizes, layer_norm_eps=NUMBERS, blend=st.tuples(NUMBERS, NUMBERS))
    return draw(
        st.builds(
            Manifest,
            model=model,
            form=TEXTS,
            checkpoint=SOURCES,
            teacher=st.none() | SOURCES,
            files=st.just(files),
            graphs=st.fixed_dictionaries(dict.fromkeys(sorted(files)[:1], graph)),
            parity=st.dictionaries(NAMES, st.dictionaries(TEXTS, NUMBERS, max_size=2), max_size=2),
            tools=st.dictionaries(TEXTS, TEXTS, max_size=2),
        )
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return write(tmp_path / "models/bundle")


@given(manifests())
def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json(), "manifest.json") == manifest


def test_a_bundle_comes_back_as_it_was(tmp_path: Path) -> None:
    files = {**FILES, "empty": b"", "reports/diff.html": bytes(range(256))}
    bundle = write(tmp_path / "bundle", files)
    assert read_all(bundle) == files
    assert read_all(shutil.copytree(bundle, tmp_path / "copy")) == files
    (tmp_path / "link").symlink_to(bundle)
    assert read_all(tmp_path / "link") == files


def test_what_is_not_listed_is_not_read(bundle: Path) -> None:
    (bundle / "extra").write_bytes(b"")
    assert "its manifest lists model.onnx, tokenizer.json" in refusal(lambda: Bundle(bundle).read("extra"))
    assert "its manifest lists" in refusal(lambda: Bundle(bundle).read("../bundle/model.onnx"))


def accepted(path: Path, contents: Iterable[bytes]) -> list[bytes]:
    """Those with which a file of the bundle lets it be read; with every other one it must be refused in one line."""
    taken, messages = [], []
    for content in contents:
        path.write_bytes(content)
        try:
            Bundle(path.parent)
            taken.append(content)
        except BundleError as error:
            messages.append(str(error))
    assert "".join(messages).isprintable()
    return taken


def test_every_bit_of_the_checksums_counts(bundle: Path) -> None:
    content = (bundle / CHECKSUMS).read_bytes()
    assert accepted(bundle / CHECKSUMS, [content]) == [content]
    for i, byte in enumerate(content):
        flipped = (content[:i] + bytes([byte ^ 1 << bit]) + content[i + 1 :] for bit in range(8))
        assert accepted(bundle / CHECKSUMS, flipped) == []


def test_every_byte_of_the_manifest_counts(bundle: Path) -> None:
    content = (bundle / MANIFEST).read_bytes()
    flipped = (content[:i] + bytes([byte ^ 1 << i % 8]) + content[i + 1 :] for i, byte in enumerate(content))
    assert accepted(bundle / MANIFEST, flipped) == []


@pytest.mark.parametrize("name", [MANIFEST, CHECKSUMS])
def test_no_byte_may_be_lost_or_added(bundle: Path, name: str) -> None:
    path, content = bundle / name, (bundle / name).read_bytes()
    for i in range(0, len(content), 5):
        lost = content[:i] + content[i + 1 :]
        assert accepted(path, [content[:i], lost, content[:i] + b" " + content[i:]]) == []
    assert accepted(path, [content + b" ", content + b"\0", content + b"\n", content * 2]) == []


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "no valid JSON"),
        (b"\xff", "codec can't decode"),
        (b"\xef\xbb\xbf{}", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"9" * 10_000, "no valid JSON"),
        (b"[]", "expected a bundle's manifest"),
        (b'{"name": "a web page", "icons": []}', "expected a bundle's manifest"),
        (b'{"format_version": 2}', "expected bundle format 1, found 2"),
        (b'{"format_version": "1\\n"}', "expected bundle format 1, found '1\\n'"),
        (b'{"format_version": "' + b"x" * 100_000 + b'"}', "make the bundle again with this version"),
        (b'{"format_version": 1, "x": ' + b"[" * 980 + b"]" * 980 + b"}", ""),
    ],
    ids=range(11),
)
def test_something_else_is_no_manifest(bundle: Path, content: bytes, part: str) -> None:
    (bundle / MANIFEST).write_bytes(content)
    assert "was altered or damaged" in refusal(lambda: Bundle(bundle))
    seal(bundle)
    message = refusal(lambda: Bundle(bundle))
    assert part in message
    assert len(message) < 400 + len(str(bundle))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'  "form": "flat",\n', b'  "form": "recurrent",\n  "form": "flat",\n'),
        (b'    "hidden_size": 8,\n', b'    "hidden_size": 8,\n    "hidden_\\u0073ize": 8,\n'),
        (b'    "model.onnx": {', b'    "model.onnx": {},\n    "model.onnx": {'),
    ],
)
def test_a_field_that_stands_twice(bundle: Path, old: bytes, new: bytes) -> None:
    content = (bundle / MANIFEST).read_bytes()
    assert old in content
    forge_manifest(bundle, content.replace(old, new, 1))
    assert "is no valid JSON (a field stands twice); make the bundle again" in refusal(lambda: Bundle(bundle))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_python_alone_takes_for_a_number(bundle: Path, number: str) -> None:
    content = (bundle / MANIFEST).read_bytes()
    forge_manifest(bundle, content.replace(b'"layer_norm_eps": 1e-12', b'"layer_norm_eps": ' + number.encode()))
    assert f"is no valid JSON ({number} is no number of JSON)" in refusal(lambda: Bundle(bundle))


def lines_changed(change: Callable[[list[str]], object]) -> Callable[[Path], object]:
    def rewrite(bundle: Path) -> None:
        lines = (bundle / CHECKSUMS).read_text(encoding="utf-8").splitlines(keepends=True)
        change(lines)
        (bundle / CHECKSUMS).write_text("".join(lines), encoding="utf-8")

    return rewrite


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda bundle: (bundle / CHECKSUMS).unlink(), "expected SHA256SUMS beside manifest.json in "),
        (lines_changed(lambda lines: lines.clear()), "expected one line for manifest.json, found 0"),
        (lines_changed(lambda lines: lines.pop(0)), "expected one line for manifest.json, found 0"),
        (lines_changed(lambda lines: lines.append(lines[0])), "line 4 repeats a name"),
        (lines_changed(lambda lines: lines.append(f"{'0' * 64}  {MANIFEST}\n")), "line 4 repeats a name"),
        (lines_changed(lambda lines: lines.append(lines[0].replace(".json", ".next.json"))), "json, found 2"),
        (lines_changed(lambda lines: lines.append("# a comment\n")), "line 4 is not a hash, two spaces and the name"),
        (lines_changed(lambda lines: lines.insert(1, "\n")), "line 2 is not a hash"),
        (lines_changed(lambda lines: lines.append(f"{'0' * 64}  {CHECKSUMS}\n")), "line 4 is not a hash"),
        (lines_changed(lambda lines: lines.append(f"{'0' * 64} *x\n")), "line 4 is not a hash"),
        (lines_changed(lambda lines: lines.append(f"\\{'0' * 64}  x\n")), "line 4 is not a hash"),
        (lines_changed(lambda lines: lines.append(f"{'0' * 64}  ../x\n")), "line 4 is not a hash"),
        (lines_changed(lambda lines: lines.append(f"{'0' * 64}  x\r\n")), "line 4 is not a hash"),
        (lines_changed(lambda lines: lines.append(f"{'0' * 64}  x")), "its last line has no end"),
        (lines_changed(lambda lines: lines.append(f"{'0' * 64}  x\n")), "disagree about x;"),
        (lines_changed(lambda lines: lines.pop(1)), "disagree about model.onnx;"),
        (lines_changed(lambda lines: lines.insert(1, "g" + lines.pop(1)[1:])), "line 2 is not a hash"),
        (lambda bundle: (bundle / CHECKSUMS).write_bytes(b"0" * 64 + b"  \xff\n"), "line 1 is not a hash"),
    ],
    ids=range(18),
)
def test_checksums_that_cannot_be_right(bundle: Path, change: Callable[[Path], object], part: str) -> None:
    change(bundle)
    message = refusal(lambda: Bundle(bundle))
    assert part in message
    assert message.endswith("; copy the bundle again, or make it again: lam-export onnx")


def test_checksums_in_any_order_will_do(bundle: Path) -> None:
    lines_changed(lambda lines: lines.reverse())(bundle)
    assert read_all(bundle) == FILES


def test_the_manifest_that_is_read_is_the_one_that_was_hashed(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes it between two looks changes nothing: there is one look."""
    reads: list[str] = []
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        reads.append(path.name)
        content = real(path)
        if path.name == MANIFEST:
            path.write_bytes(content.replace(b"flat", b"FLAT"))
        return content

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert Bundle(bundle).manifest.form == "flat"
    assert reads == [CHECKSUMS, MANIFEST]
    monkeypatch.undo()
    refusal(lambda: Bundle(bundle))


TRICKS = [
    *("../x", "a/../../x", "a/..", "..", ".", "", "./x", "a//x", "a/", "a/./x", "/etc/passwd", "//x", "~/../x/"),
    *(r"..\x", r"a\x", r"C:\x", "C:/x", "C:x", "x:stream", "\\\\host\\x", "x\0", "x\ny", "\x1b[2Jx", "x\u202ey"),
]


@pytest.mark.parametrize("name", TRICKS)
@pytest.mark.parametrize("place", ["files", "graphs"])
def test_paths_that_lead_out_are_refused_whatever_the_hashes(bundle: Path, name: str, place: str) -> None:
    (bundle.parent / "x").write_bytes(FILES["model.onnx"])
    graph = Graph(precision="fp32", opset=20, inlined=False, inputs=(), outputs=()).model_dump(mode="json")
    forge(bundle, lambda m: m[place].update({name: m["files"]["model.onnx"] if place == "files" else graph}))
    assert "must be a plain relative path inside the bundle" in refusal(lambda: Bundle(bundle))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda m: m.update(extra=1), "'extra': Extra inputs are not permitted"),
        (lambda m: m.update({"new\nline" * 1000: 1}), "Extra inputs are not permitted"),
        (lambda m: m.pop("form"), "'form': Field required"),
        (lambda m: m["model"].update(hidden_size=0), "'model.hidden_size': Input should be greater than 0"),
        (lambda m: m["model"].update(hidden_size="wide"), "'model.hidden_size': Input should be a valid integer"),
        (lambda m: m["model"].update(pad_token_id=32), "pad_token_id must be below vocab_size (32)"),
        (lambda m: m["model"].update(pad_token_id=-1), "greater than or equal to 0"),
        (lambda m: m["files"]["model.onnx"].update(bytes=-1), "'files.model.onnx.bytes': Input should be greater"),
        (lambda m: m["files"]["model.onnx"].update(sha256="0" * 63), "'files.model.onnx.sha256': String should match"),
        (lambda m: m.update(files=[]), "'files': Input should be a valid dictionary"),
        (lambda m: m.update(format_version=2, extra=1), "expected bundle format 1, found 2"),
        (lambda m: m["graphs"].update({"no.onnx": {}}), "'graphs.no.onnx.precision': Field required"),
    ],
)
def test_fields_that_cannot_be_right(bundle: Path, change: Callable[[dict[str, Any]], object], part: str) -> None:
    forge(bundle, change)
    message = refusal(lambda: Bundle(bundle))
    assert part in message
    assert "lam-export onnx" in message


def test_a_graph_must_be_a_file(bundle: Path) -> None:
    graph = Graph(precision="fp32", opset=20, inlined=False, inputs=(), outputs=()).model_dump(mode="json")
    forge(bundle, lambda m: m["graphs"].update({"no.onnx": graph}))
    assert "names no.onnx, not among its files" in refusal(lambda: Bundle(bundle))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "cut short": lambda content: content[:-1],
    "empty": lambda content: b"",
    "longer": lambda content: content + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_differs_is_refused(bundle: Path, damage: str) -> None:
    opened = Bundle(bundle)  # before the damage: it is each reading that counts
    (bundle / "model.onnx").write_bytes(DAMAGE[damage](FILES["model.onnx"]))
    message = refusal(lambda: opened.read("model.onnx"))
    expected = "sha256 " if damage == "a bit" else "11 bytes, found "
    assert f"model.onnx is not the file that the bundle was made with (expected {expected}" in message
    assert opened.read("tokenizer.json") == FILES["tokenizer.json"]


def test_files_that_changed_places(bundle: Path) -> None:
    (bundle / "model.onnx").rename(bundle / "x")
    (bundle / "tokenizer.json").rename(bundle / "model.onnx")
    (bundle / "x").rename(bundle / "tokenizer.json")
    for name in FILES:
        assert "is not the file" in refusal(lambda name=name: Bundle(bundle).read(name))


@pytest.mark.parametrize("name", ["model.onnx", MANIFEST, CHECKSUMS])
@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda path: path.symlink_to(path.parents[2] / "outside" / path.name), "leads outside the bundle"),
        (lambda path: path.symlink_to(Path("..", "..", "outside", path.name)), "leads outside the bundle"),
        (lambda path: path.symlink_to("/dev/zero"), "leads outside the bundle"),
        (lambda path: path.symlink_to("nothing"), "found none|No such file"),
        (lambda path: path.symlink_to(path.name), "found none|[Ll]oop|symbolic links"),
        (lambda path: path.mkdir(), "expected a file"),
        (os.mkfifo, "expected a file"),
        (lambda path: None, "found none|No such file"),
    ],
    ids=["link", "relative link", "endless device", "dangling link", "loop", "folder", "pipe", "missing"],
)
def test_other_things_in_a_files_place(bundle: Path, name: str, make: Callable[[Path], object], part: str) -> None:
    shutil.copytree(bundle, bundle.parents[1] / "outside")  # the right content, in the wrong place
    (bundle / name).unlink()
    make(bundle / name)
    assert re.search(part, refusal(lambda: read_all(bundle)))


def test_a_folder_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    bundle = write(tmp_path / "models/bundle", {"reports/diff.html": b"a report"})
    (bundle / "reports").rename(tmp_path / "reports")
    (bundle / "reports").symlink_to(tmp_path / "reports")
    assert "leads outside the bundle" in refusal(lambda: read_all(bundle))


def test_a_link_that_stays_inside_is_followed(bundle: Path) -> None:
    (bundle / "model.onnx").rename(bundle / "blob")
    (bundle / "model.onnx").symlink_to("blob")
    assert read_all(bundle) == FILES


def cached(bundle: Path, cache: Path, inner: str = "") -> Path:
    """The bundle in the layout of Hugging Face's cache: each file a link to the content, which its hash names."""
    snapshot = cache / "models--user--lam" / "snapshots" / "0a1b" / inner
    blobs = cache / "models--user--lam" / "blobs"
    blobs.mkdir(parents=True)
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        content = path.read_bytes()
        blob = blobs / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        link = snapshot / path.relative_to(bundle)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


@pytest.mark.parametrize("inner", ["", "bundle", "a/b"])
def test_a_bundle_in_hugging_faces_cache(bundle: Path, tmp_path: Path, inner: str) -> None:
    snapshot = cached(bundle, tmp_path / "hub", inner)
    assert read_all(snapshot) == FILES
    linked = tmp_path / "elsewhere"
    linked.symlink_to(snapshot)
    assert read_all(linked) == FILES
    blob = (snapshot / "model.onnx").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    assert "is not the file that the bundle was made with" in refusal(lambda: read_all(snapshot))
    (snapshot / "model.onnx").unlink()
    (snapshot / "model.onnx").symlink_to(bundle / "model.onnx")  # out of the cache
    assert "leads outside the bundle" in refusal(lambda: read_all(snapshot))


@pytest.mark.parametrize("store", ["..2026_11_27", "../annex"], ids=["Kubernetes", "git-annex"])
def test_links_of_other_tools(bundle: Path, store: str) -> None:
    (bundle / store).mkdir()
    for name in (*FILES, MANIFEST, CHECKSUMS):
        (bundle / name).rename(bundle / store / name)
        (bundle / name).symlink_to(Path(store) / name)
    assert read_all(bundle) == FILES


@pytest.mark.parametrize("place", ["nothing", "file", "file/x", "x" * 300, "empty"])
def test_no_bundle_there(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert re.search("make one: lam-export onnx|too long", refusal(lambda: Bundle(tmp_path / place)))
