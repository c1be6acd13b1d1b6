"""Libraries from npm: pinned, kept, and refused if they are others."""

import hashlib
import io
import tarfile
from base64 import b64encode
from pathlib import Path

import pytest
import websites

from lam_engines.errors import LamError
from lam_export.export.web.packages import NpmPackage, read_package


def archive(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("package/dist/thing.js")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


CONTENT = archive(b"thing()")
THING = NpmPackage("@scope/thing", "1.2.3", b64encode(hashlib.sha512(CONTENT).digest()).decode())


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a registry's root, which nobody serves yet; and an empty cache."""
    monkeypatch.setenv("LAM_EXPORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    (tmp_path / "registry/@scope/thing/-").mkdir(parents=True)
    return tmp_path / "registry"


def test_a_package_is_downloaded_once(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (registry / "@scope/thing/-/thing-1.2.3.tgz").write_bytes(CONTENT)
    with websites.served(registry) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        assert read_package(THING, ["dist/thing.js"]) == {"dist/thing.js": b"thing()"}
        assert list(server.sent) == ["/@scope/thing/-/thing-1.2.3.tgz"]
    assert read_package(THING, ["dist/thing.js"]) == {"dist/thing.js": b"thing()"}  # no server any more

    THING.kept.write_bytes(CONTENT[:-9])  # a kept file that was damaged is fetched again
    with pytest.raises(LamError, match="cannot be downloaded"):
        read_package(THING, ["dist/thing.js"])


def test_without_a_network_the_error_says_what_to_do(registry: Path) -> None:
    with pytest.raises(LamError) as caught:
        read_package(THING, ["dist/thing.js"])
    said = str(caught.value)
    assert "http://127.0.0.1:9/@scope/thing/-/thing-1.2.3.tgz cannot be downloaded" in said
    assert "npm pack @scope/thing@1.2.3" in said
    # What the error names works.
    THING.kept.parent.mkdir(parents=True)
    assert said.endswith(f"to {THING.kept}")
    THING.kept.write_bytes(CONTENT)
    assert read_package(THING, ["dist/thing.js"]) == {"dist/thing.js": b"thing()"}


def test_another_content_is_refused_and_not_kept(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (registry / "@scope/thing/-/thing-1.2.3.tgz").write_bytes(archive(b"steal()"))
    with websites.served(registry) as server:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", server.url)
        with pytest.raises(
            LamError, match=r"expected thing-1\.2\.3\.tgz with the SHA-512 .* found other content at http"
        ):
            read_package(THING, ["dist/thing.js"])
    assert not THING.kept.exists()
