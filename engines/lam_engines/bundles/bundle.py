"""Reads a bundle's folder, and checks every hash."""

import hashlib
from pathlib import Path
from typing import Literal

from ..contract import CHECKSUMS, GRAPHS, MANIFEST
from ..errors import BundleError, reason_of
from .checksums import AGAIN, Checksums
from .graph_file import check_graph
from .manifest import FileEntry, Manifest

MOST_BYTES = 16 << 20
"""In ``manifest.json`` and in ``SHA256SUMS``. Both have some kilobytes."""
_KINDS = {"encoder": "an encoder", "memory": "a memory"}


class Bundle:
    """A bundle on disk. Opening it checks the manifest; reading a file checks that file."""

    def __init__(self, path: Path | str, *, kind: Literal["encoder", "memory"] | None = "encoder") -> None:
        """Open a bundle.

        Args:
            path: its folder.
            kind: the kind that it must have: ``encoder`` (``lam-export onnx``) or ``memory`` (``lam-export memory``);
                None allows both.

        Raises:
            BundleError: there is no bundle, its manifest is damaged, or it has the other kind.
        """
        self.path = Path(path)
        self.manifest, self.manifest_sha256 = self._read_manifest()
        found = "encoder" if self.manifest.memory_layer is None else "memory"
        if kind not in (None, found):
            command = {"encoder": "onnx", "memory": "memory"}[kind]
            raise BundleError(
                f"expected the bundle of {_KINDS[kind]} at {self.path}, found that of {_KINDS[found]}; make one: "
                f"lam-export {command} CHECKPOINT -o BUNDLE"
            )

    def _read_manifest(self) -> tuple[Manifest, str]:
        """The manifest and its hash.

        A file does not change while ``SHA256SUMS`` lists it, and an extension replaces ``SHA256SUMS`` in one step (see
        ``writing.py``). So when the manifest does not match, ``SHA256SUMS`` is read again. If it has changed, an
        extension was at work, and reading starts over. If not, the bundle is damaged.
        """
        checksums = self._checksums()
        while True:
            try:
                return self._manifest_under(checksums)
            except BundleError:
                if (now := self._checksums()) == checksums:
                    raise
                checksums = now

    def _checksums(self) -> bytes:
        if _is_missing(self.path / MANIFEST):
            raise BundleError(
                f"expected a bundle (a folder with {MANIFEST}), found none at {self.path}; make one: "
                f"lam-export onnx CHECKPOINT -o {self.path}"
            )
        if _is_missing(self.path / CHECKSUMS):
            raise BundleError(f"expected {CHECKSUMS} beside {MANIFEST} in {self.path}, found none; {AGAIN}")
        return self._content(CHECKSUMS)

    def _manifest_under(self, content: bytes) -> tuple[Manifest, str]:
        checksums = Checksums.from_bytes(content, str(self.path / CHECKSUMS))
        path = self.path / checksums.manifest
        content = self._content(checksums.manifest)
        if hashlib.sha256(content).hexdigest() != checksums.manifest_sha256:
            raise BundleError(f"{path} was altered or damaged (it differs from its hash in {CHECKSUMS}); {AGAIN}")
        try:
            manifest = Manifest.from_json(content.decode("utf-8"), str(path))
        except UnicodeDecodeError as error:
            raise BundleError(f"{path} cannot be read ({error}); copy the bundle again") from None
        listed = {name: entry.sha256 for name, entry in manifest.files.items()}
        differing = {name for name, _ in listed.items() ^ checksums.files.items()}
        if differing:
            raise BundleError(
                f"{CHECKSUMS} and {checksums.manifest} in {self.path} disagree about {min(differing)}; {AGAIN}"
            )
        return manifest, checksums.manifest_sha256

    def read(self, name: str) -> bytes:
        """The content of one of the bundle's files, as it was when the bundle was made.

        The returned bytes are the hashed bytes, so nothing can change between check and use.

        Raises:
            BundleError: the file is not listed, is missing, lies outside the folder, differs from its hash, or is a
                graph that :func:`check_graph` refuses.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(
                f"expected {name} in the bundle {self.path}, its manifest lists {', '.join(self.manifest.files)}; "
                f"make it again: lam-export onnx CHECKPOINT -o {self.path} --force"
            )
        content = self._content(name, entry.bytes)
        if (digest := hashlib.sha256(content).hexdigest()) != entry.sha256:
            raise self._differs(name, f"sha256 {entry.sha256[:12]}..., found {digest[:12]}...")
        if name.endswith(".onnx"):
            check_graph(content, str(self.path / name))
        return content

    def graph(self, precision: str) -> str:
        """The name of the graph in a precision.

        Raises:
            BundleError: the bundle has no graph in that precision.
        """
        if precision not in GRAPHS:
            raise BundleError(f"expected precision {', '.join(GRAPHS)}, found {precision!r}")
        name = GRAPHS[precision]
        if name not in self.manifest.files:
            there = ", ".join(p for p, graph in GRAPHS.items() if graph in self.manifest.files)
            raise BundleError(
                f"expected {name} in the bundle {self.path}, found {there or 'no graph'}; make it "
                f"again: lam-export onnx CHECKPOINT -o {self.path} --precision {precision} --force"
            )
        return name

    def _content(self, name: str, size: int | None = None) -> bytes:
        """A file's content. ``size`` is what it must have, and is compared first: a huge file is not read."""
        path = self.path / name
        try:
            if not path.resolve().is_relative_to(_reach(self.path.resolve())):
                raise BundleError(f"{path} leads outside the bundle and is not read; put the file itself there")
            if path.exists() and not path.is_file():  # reading a pipe would wait forever
                raise BundleError(f"expected a file at {path}, found something else; copy the bundle again")
            found = path.stat().st_size
            if size is None and found > MOST_BYTES:
                raise BundleError(f"expected at most {MOST_BYTES} bytes in {path}, found {found}; {AGAIN}")
            if size is not None and found != size:
                raise self._differs(name, f"{size} bytes, found {found}")
            return path.read_bytes()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            raise BundleError(f"{path} cannot be read ({reason_of(error)}); copy the bundle again") from None

    def _differs(self, name: str, what: str) -> BundleError:
        return BundleError(
            f"{self.path / name} is not the file that the bundle was made with (expected {what}); copy the bundle again"
        )


def file_entry(path: Path) -> FileEntry:
    """The manifest's entry of a file: its size in bytes and its hash."""
    return entry_of(path.read_bytes())


def entry_of(content: bytes) -> FileEntry:
    """The manifest's entry of a file with this content."""
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def _reach(folder: Path) -> Path:
    """The folder that links of a bundle may lead into. The hashes guard the content, wherever it lies.

    It is the folder around the bundle, or the repository in a cache of Hugging Face, where each file is a link from
    ``models--x/snapshots/REVISION`` to ``models--x/blobs``.
    """
    for parent in folder.parents:
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return folder if folder.parent == Path(folder.anchor) else folder.parent


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError:  # the error on reading will say why
        return False
