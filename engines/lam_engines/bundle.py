"""The artefact folder: read with every hash checked, written whole or not at all."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BundleError
from .manifest import FileEntry, Manifest

MANIFEST = "manifest.json"
MODEL = "model.onnx"
INLINED_MODEL = "model.inlined.onnx"
TOKENIZER = "tokenizer.json"


class Bundle:
    """A bundle on disk. Its manifest is checked when it is opened, each file when it is read."""

    def __init__(self, path: Path | str) -> None:
        """Open a bundle.

        Raises:
            BundleError: there is none, or its manifest is not to be trusted.
        """
        self.path = Path(path)
        manifest = self.path / MANIFEST
        if not manifest.is_file():
            raise BundleError(
                f"expected a bundle (a folder with {MANIFEST}), found none at {self.path}; make one: "
                f"lam-export onnx CHECKPOINT -o {self.path}"
            )
        try:
            content = manifest.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"{manifest} cannot be read ({error})") from None
        self.manifest = Manifest.from_json(content, str(manifest))

    def read(self, name: str) -> bytes:
        """The content of one of the bundle's files, equal to what was written when the bundle was made.

        The bytes that were hashed are the bytes returned, so nothing can change between check and use.

        Raises:
            BundleError: the file is not listed, missing, outside the folder, or differs from its hash.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(
                f"expected {name} in the bundle {self.path}, its manifest lists {', '.join(self.manifest.files)}; "
                f"make it again: lam-export onnx CHECKPOINT -o {self.path} --force"
            )
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise BundleError(f"{path} leads outside the bundle; it is not read")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path} is listed in the manifest but cannot be read ({error.strerror})") from None
        if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(
                f"{path} is not the file that the bundle was made with (expected {entry.bytes} bytes, sha256 "
                f"{entry.sha256[:12]}..., found {len(content)} bytes, {hashlib.sha256(content).hexdigest()[:12]}...); "
                f"copy the bundle again"
            )
        return content


@contextmanager
def write_bundle(path: Path | str, *, force: bool = False) -> Iterator[tuple[Path, Callable[[Manifest], None]]]:
    """Build a bundle beside its place and rename it there once it is whole.

    Yields the temporary folder to write files into, and a function to call last: it writes the manifest and puts the
    bundle in place. If it is not called, or anything raises, nothing is left behind and what was at ``path`` stays.

    Args:
        path: where the bundle will be.
        force: replace a bundle that is there. A folder that is no bundle is never replaced.

    Raises:
        BundleError: ``path`` is taken, or cannot be written.
    """
    path = Path(path)
    check_place(path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise BundleError(
            f"cannot write to {path.parent} ({error.strerror}); choose another place: -o BUNDLE"
        ) from None

    def commit(manifest: Manifest) -> None:
        (draft / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        for file in draft.rglob("*"):
            _flush(file)
        draft.chmod(0o755)  # mkdtemp's folder is for its owner alone; a server often runs as another user
        check_place(path, force)
        _swap(draft, path)

    try:
        yield draft, commit
    except OSError as error:
        raise BundleError(f"{path} was not written: {error.strerror or error}; what was there is unchanged") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def file_entry(path: Path) -> FileEntry:
    """The manifest's entry of a file: its size in bytes and its hash."""
    content = path.read_bytes()
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def check_place(path: Path, force: bool) -> None:
    """Refuse a place for a bundle that is taken.

    Raises:
        BundleError: a bundle is there and ``force`` is false, or something that is no bundle.
    """
    if not path.exists() and not path.is_symlink():
        return
    is_bundle = (path / MANIFEST).is_file()
    if not path.is_dir() or not (is_bundle or not any(path.iterdir())):
        raise BundleError(f"{path} exists and is no bundle; it is not replaced, choose another place: -o BUNDLE")
    if is_bundle and not force:
        raise BundleError(f"there is a bundle at {path} already; replace it with --force, or choose another -o BUNDLE")


def _swap(draft: Path, path: Path) -> None:
    """Rename ``draft`` to ``path``; a folder that is there stays whole until the new one is in place."""
    if not path.exists():
        draft.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    try:
        path.rename(old / "bundle")
        try:
            draft.rename(path)
        except OSError:
            (old / "bundle").rename(path)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
