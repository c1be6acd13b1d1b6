"""Bundles from elsewhere: fetched once into this machine's cache, and compared with their hashes before every use."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..contract import CHECKSUMS, MANIFEST
from ..errors import BundleError
from ..machine import cache_folder
from ..storage import is_remote, place_of, reached, state_of
from .bundle import MOST_BYTES, Bundle
from .checksums import Checksums
from .whole import FolderKind, drafted_folder, put_folder_in_place

_CACHED = FolderKind("bundle", "make room there, or set LAM_EXPORT_CACHE", lambda path: True, BundleError)


def fetched(place: Path | str) -> Path:
    """The folder of a bundle on this machine. A bundle that is named by URI is fetched into the cache.

    Args:
        place: a folder, or a URI such as ``s3://bucket/my-model``.

    Raises:
        BundleError: there is none at the URI, it is damaged, or the cache cannot be written.
        InputError: the URI's scheme is unknown, or a package for it is missing.
    """
    remote = place_of(place)
    if not is_remote(remote):
        return remote

    def read(name: str, most: int) -> bytes:
        with reached(remote / name, BundleError):
            try:
                if (found := state_of(remote / name).bytes) > most:
                    raise BundleError(f"expected at most {most} bytes in {remote / name}, found {found}; copy it again")
                return (remote / name).read_bytes()
            except FileNotFoundError:
                raise BundleError(f"expected a bundle with {name} at {remote}, found none; copy one there") from None

    return into_cache(read, str(remote))


def into_cache(read: Callable[[str, int], bytes], where: str) -> Path:
    """The folder of a bundle in the cache, named by the hash of its manifest. What is damaged there is fetched again.

    Args:
        read: gives the content of a file, by its name, which may have so many bytes at most.
        where: names the bundle's place in errors.

    Raises:
        BundleError: a file differs from its hash, or the cache cannot be written.
    """
    content = read(CHECKSUMS, MOST_BYTES)
    checksums = Checksums.from_bytes(content, f"{where}/{CHECKSUMS}")
    folder = cache_folder() / "bundles"
    place = folder / checksums.manifest_sha256
    with _one_at_a_time(folder):
        if _is_whole(place):
            return place
        with drafted_folder(place, _CACHED) as draft:
            (draft / CHECKSUMS).write_bytes(content)
            for name in {checksums.manifest, MANIFEST}:
                (draft / name).write_bytes(read(checksums.manifest, MOST_BYTES))
            for name, entry in Bundle(draft, kind=None).manifest.files.items():
                found = read(name, entry.bytes)
                if hashlib.sha256(found).hexdigest() != entry.sha256:
                    raise BundleError(
                        f"{where}/{name} differs from its hash in {CHECKSUMS}; copy the bundle there again"
                    )
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                (draft / name).write_bytes(found)
            put_folder_in_place(draft, place, replace=True, flush=False)
    return place


def _is_whole(place: Path) -> bool:
    try:
        bundle = Bundle(place, kind=None)
        return all(bundle.read(name) is not None for name in bundle.manifest.files)
    except BundleError:
        return False


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process of this machine fetch at a time. Windows does not keep them apart."""
    handle = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(ImportError):
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        raise BundleError(f"cannot write to the cache {folder} ({error.strerror}); set LAM_EXPORT_CACHE") from None
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
