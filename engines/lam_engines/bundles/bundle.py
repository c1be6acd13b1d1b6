"""The artefact folder: read with every hash checked, written whole or not at all."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ..contract import GRAPHS, MANIFEST, REPORTS
from ..errors import BundleError
from .manifest import FileEntry, Manifest
from .whole import flush, write_whole

_KINDS = {"encoder": "an encoder", "memory": "a memory"}
_BEGINNING = b'{\n  "format_version": '


class Bundle:
    """A bundle on disk. Its manifest is checked when it is opened, each file when it is read."""

    def __init__(self, path: Path | str, *, kind: Literal["encoder", "memory"] | None = "encoder") -> None:
        """Open a bundle.

        Args:
            path: its folder.
            kind: what it must be of: an ``encoder`` (``lam-export onnx``) or a ``memory`` (``lam-export memory``);
                None: either.

        Raises:
            BundleError: there is none, its manifest is not to be trusted, or it is of the other kind.
        """
        self.path = Path(path)
        manifest = self.path / MANIFEST
        try:
            if not manifest.exists():
                raise BundleError(
                    f"expected a bundle (a folder with {MANIFEST}), found none at {self.path}; make one: "
                    f"lam-export onnx CHECKPOINT -o {self.path}"
                )
            content = self._content(MANIFEST).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"{manifest} cannot be read ({_reason(error)}); copy the bundle again") from None
        self.manifest = Manifest.from_json(content, str(manifest))
        found = "encoder" if self.manifest.memory_layer is None else "memory"
        if kind not in (None, found):
            command = {"encoder": "onnx", "memory": "memory"}[kind]
            raise BundleError(
                f"expected the bundle of {_KINDS[kind]} at {self.path}, found that of {_KINDS[found]}; make one: "
                f"lam-export {command} CHECKPOINT -o BUNDLE"
            )

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
        content = self._content(name)
        digest = hashlib.sha256(content).hexdigest()
        if len(content) != entry.bytes or digest != entry.sha256:
            raise BundleError(
                f"{self.path / name} is not the file that the bundle was made with (expected {entry.bytes} bytes, "
                f"sha256 {entry.sha256[:12]}..., found {len(content)} bytes, {digest[:12]}...); copy the bundle again"
            )
        return content

    def graph(self, precision: str) -> str:
        """The name of the graph of a precision.

        Raises:
            BundleError: the bundle has none of it.
        """
        if precision not in GRAPHS:
            raise BundleError(f"expected precision {', '.join(GRAPHS)}, found {precision!r}")
        name = GRAPHS[precision]
        if name not in self.manifest.files:
            there = ", ".join(p for p, graph in GRAPHS.items() if graph in self.manifest.files)
            raise BundleError(
                f"expected {name} in the bundle {self.path}, it has {there or 'no graph'}; make it "
                f"again: lam-export onnx CHECKPOINT -o {self.path} --precision {precision} --force"
            )
        return name

    def _content(self, name: str) -> bytes:
        path = self.path / name
        try:
            if not path.resolve().is_relative_to(self.path.resolve()):
                raise BundleError(f"{path} leads outside the bundle and is not read; put the file itself there")
            if path.exists() and not path.is_file():  # reading a pipe would wait for ever
                raise BundleError(f"expected a file at {path}, found something else; copy the bundle again")
            return path.read_bytes()
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            raise BundleError(f"{path} cannot be read ({_reason(error)}); copy the bundle again") from None


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
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except (OSError, RuntimeError) as error:
        raise BundleError(
            f"cannot write to {path.parent} ({_reason(error)}); choose another place: -o BUNDLE"
        ) from None

    def commit(manifest: Manifest) -> None:
        (draft / MANIFEST).write_bytes(manifest.to_json().encode("ascii"))
        for file in draft.rglob("*"):
            if file.is_file():
                flush(file)
        if force and (path / REPORTS).is_dir():
            shutil.copytree(path / REPORTS, draft / REPORTS)  # what was tried on the model, and how it did
        draft.chmod(0o755)  # mkdtemp's folder is for its owner alone; a server often runs as another user
        check_place(path, force)
        put_in_place(draft, path, force)

    try:
        yield draft, commit
    except OSError as error:
        raise BundleError(f"{path} was not written: {_reason(error)}; what was there is unchanged") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def extend_bundle(
    path: Path | str,
    files: Mapping[str, bytes],
    change: Callable[[Manifest], Manifest],
    drop: Iterable[str] = (),
) -> Bundle:
    """Add files to a bundle that is there.

    The manifest takes its place last, in one rename: a reader sees the bundle as it was or as it will be. So a file of
    the bundle is never overwritten; new content gets a new name. Two writers at once are not kept apart.

    Args:
        path: the bundle.
        files: name to content. A name that the bundle has must come with the content that it has.
        change: the manifest to the new one; the entries of ``files`` and ``drop`` are made here.
        drop: files that are no longer of use; removed once the new manifest is in place.

    Raises:
        BundleError: the bundle is broken, a name is taken, or the disk is full; the bundle is as it was.
    """
    folder = Bundle(path).path.resolve()
    manifest = Bundle(folder).manifest
    entries = {name: _entry(content) for name, content in files.items()}
    if taken := [name for name, entry in entries.items() if manifest.files.get(name, entry) != entry]:
        raise BundleError(f"{', '.join(taken)} in {folder} has other content and is not overwritten; remove it first")
    drop = set(drop) - set(files)
    changed = change(manifest)
    kept = {name: entry for name, entry in changed.files.items() if name not in drop}
    content = changed.model_copy(update={"files": kept | entries}).to_json()
    Manifest.from_json(content, str(folder / MANIFEST))
    new = [folder / name for name in files if name not in manifest.files]
    try:
        for name, data in files.items():
            write_whole(folder / name, data)
        write_whole(folder / MANIFEST, content.encode("ascii"))
    except BaseException as error:  # Ctrl-C too
        if Bundle(folder).manifest == manifest:
            for place in new:
                place.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BundleError(f"{folder} was not changed: {_reason(error)}") from error
        raise
    for name in drop:
        (folder / name).unlink(missing_ok=True)
    return Bundle(folder)


def _entry(content: bytes) -> FileEntry:
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def file_entry(path: Path) -> FileEntry:
    """The manifest's entry of a file: its size in bytes and its hash."""
    return _entry(path.read_bytes())


def check_place(path: Path, force: bool) -> None:
    """Refuse a place for a bundle that is taken.

    Raises:
        BundleError: a bundle is there and ``force`` is false, or something that is no bundle.
    """
    try:
        if not path.exists() and not path.is_symlink():
            return
        is_bundle = _is_bundle(path)
        if not is_bundle and not (path.is_dir() and not any(path.iterdir())):
            raise BundleError(f"{path} exists and is no bundle; it is not replaced, choose another place: -o BUNDLE")
        if os.path.ismount(path) or Path.cwd().is_relative_to(path.resolve()):
            raise BundleError(
                f"{path} is a mount or the working folder and cannot be replaced; name a new folder in it: -o BUNDLE"
            )
    except OSError as error:
        raise BundleError(f"cannot look at {path} ({_reason(error)}); choose another place: -o BUNDLE") from None
    if is_bundle and not force:
        raise BundleError(f"there is a bundle at {path} already; replace it with --force, or choose another -o BUNDLE")


def _is_bundle(path: Path) -> bool:
    """Whether a manifest is there, be it damaged; other tools' folders may hold a ``manifest.json`` of their own."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        return False
    with manifest.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING


def put_in_place(draft: Path, path: Path, force: bool) -> None:
    """Rename ``draft`` to ``path``; with ``force`` in place of a folder, which stays whole until then.

    Killed between the two renames, it leaves the old folder beside its place, named ``.NAME.xxxxxxxx.old``.
    """
    old = draft.with_name(f"{draft.name}.old")
    if force and path.exists():
        path.rename(old)
    try:
        draft.rename(path)
    except OSError:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(old, ignore_errors=True)  # of no use if another writer's bundle is there now
        raise
    shutil.rmtree(old, ignore_errors=True)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
