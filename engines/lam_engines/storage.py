"""Places by URI: object storage and network file systems, through fsspec and its ``UPath``, beside plain paths.

A ``UPath`` has the methods of a ``Path``, and is passed as one. fsspec has the exclusive create that a lock needs,
which pyarrow's own file systems lack; for ``hdfs://`` it uses pyarrow's.
"""

import errno
import io
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from .errors import InputError, LamError, installing

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
_READING = {"block_size": 4 << 20, "cache_type": "blockcache", "cache_options": {"maxblocks": 8}}
"""At most 32 MiB of a file are held. A Parquet file is read in several places at a time."""


class FileState(NamedTuple):
    """What tells that a file is unchanged."""

    bytes: int
    version: str
    """The object's ETag, or the time of its last change in nanoseconds."""


def place_of(place: Path | str) -> Path:
    """A path, or an object with a path's methods for a URI such as ``s3://bucket/folder``; ``file://`` is a plain path.

    Raises:
        InputError: what the scheme needs is not installed, or there is no such scheme.
    """
    if not isinstance(place, str):
        return place
    found = _SCHEME.match(place)
    if found is None:
        return Path(place)
    scheme = found[1].lower()
    try:
        from upath import UPath

        # Other processes write there at the same time, so listings are never kept.
        options: dict[str, Any] = {} if scheme in ("file", "local", "hdfs") else {"use_listings_cache": False}
        if scheme in ("s3", "s3a"):
            options["config_kwargs"] = {"connect_timeout": 5, "retries": {"max_attempts": 2}}
        opened = UPath(place, **options)
        local = isinstance(opened, Path) or scheme in ("file", "local")
        return Path(opened.path) if local else _reachable(opened)
    except ImportError as missing:
        extra = extra_of(place) or "s3"
        raise InputError(
            f"{place}: expected the packages for {scheme}://, found one missing ({missing}); run: {installing(extra)}"
        ) from None
    except ValueError as error:
        raise InputError(
            f"expected a path or a URI with s3://, gs://, az://, hdfs:// or file://, found {place} ({error})"
        ) from None


def extra_of(place: str) -> str | None:
    """The extra of lam-export that a URI needs; None for a path."""
    found = _SCHEME.match(place)
    return _EXTRAS.get(found[1].lower()) if found else None


def _reachable(opened: Any) -> Path:
    with reached(opened, InputError):
        opened.fs  # noqa: B018  # connects, with some
    return cast(Path, opened)


def is_remote(place: Path) -> bool:
    """Whether a place was named by URI, and is not a file or folder of this machine."""
    return not isinstance(place, Path)


@contextmanager
def reached(place: Path, error: type[LamError]) -> Iterator[None]:
    """Turn what goes wrong with a remote place into one line. Each service has exceptions of its own."""
    try:
        yield
    except (LamError, ImportError):
        raise
    except Exception as found:
        ours = type(found).__module__ == "builtins" and not isinstance(found, OSError | ValueError)
        if not is_remote(place) or ours:
            raise
        reason = " ".join(str(getattr(found, "strerror", None) or found).split())[:300] or type(found).__name__
        raised = error(
            f"expected storage that can be used at {place}, found: {reason}; check the name, the network and the "
            f"credentials of this machine"
        )
        raised.passing = not isinstance(found, FileNotFoundError | PermissionError | ValueError)
        raise raised from None


def state_of(place: Path) -> FileState:
    """The size and version of a file."""
    found = place.stat()
    if not is_remote(place):
        return FileState(found.st_size, str(found.st_mtime_ns))
    return _state(found.as_info())  # type: ignore[attr-defined]


def _state(info: dict[str, Any]) -> FileState:
    version = next((info[key] for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified") if info.get(key)), "")
    return FileState(int(info["size"]), str(version).strip('"'))


def remote_files(folder: Any) -> dict[Path, FileState]:
    """All files below a remote folder, by one listing."""
    with reached(folder, InputError):
        found = folder.fs.find(folder.path, detail=True)
    above = len(folder.path.rstrip("/")) + 1
    return {folder / name[above:]: _state(info) for name, info in found.items() if name[above:]}


def open_reading(place: Path) -> BinaryIO:
    """A file, opened for reading."""
    if not is_remote(place):
        return place.open("rb")
    return io.BufferedReader(_Remote(place), 1 << 20)


class _Remote(io.RawIOBase):
    """A remote file whose errors are those of a file: each service has exceptions of its own."""

    def __init__(self, place: Any) -> None:
        self._file = place.open("rb", **_READING)
        self._place = place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            with reached(self._place, InputError):
                read: int = self._file.readinto(buffer)
                return read
        except InputError as error:
            raise OSError(errno.EIO, str(error)) from None

    def seek(self, offset: int, whence: int = 0, /) -> int:
        position: int = self._file.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self._file.tell()
        return position

    def close(self) -> None:
        self._file.close()
        super().close()


def read_at_once(place: Path) -> bytes:
    """The content of a small remote file that others may be writing anew.

    It is one request. To open the file takes two, its state and its content, and fails if it changes between them.
    """
    remote: Any = place
    content: bytes = remote.fs.cat_file(remote.path)
    return content


def remove_all(places: Sequence[Path]) -> None:
    """Remove remote files, many with one request where the storage can."""
    some: Any = places
    some[0].fs.rm([place.path for place in some])


def create(place: Path, content: bytes) -> None:
    """Write a file that must not exist yet, in one step that fails if another process is faster.

    Raises:
        FileExistsError: it exists.
        InputError: the storage has no such step.
    """
    remote: Any = place
    try:
        remote.fs.pipe_file(remote.path, content, mode="create")
    except (NotImplementedError, ValueError, TypeError):
        raise InputError(
            f"expected storage with a lock for the output (s3, gs, az, or a folder), found {place}, which has none; "
            f"name another with -o"
        ) from None


@contextmanager
def put_whole(place: Path, error: type[LamError]) -> Iterator[Path]:
    """Where to write a file's content so that it comes to ``place`` whole, at the end of the block, or not at all.

    Of a remote place it is a temporary file, which is uploaded in one request, or in several of which the last counts.
    """
    if not is_remote(place):
        yield place
        return
    remote: Any = place
    with tempfile.TemporaryDirectory(prefix="lam-") as folder:
        local = Path(folder) / place.name
        yield local
        with reached(place, error):
            remote.fs.put_file(str(local), remote.path)
