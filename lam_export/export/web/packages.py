"""The site's JavaScript libraries, from the npm registry. Each is pinned by its hash and kept in the caches' folder."""

import hashlib
import io
import os
import tarfile
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from lam_engines.bundles.whole import write_whole
from lam_engines.errors import LamError
from lam_engines.machine import cache_folder

REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY"
"""Names another registry; npm itself knows it too."""
_MOST_BYTES = 100 << 20
_SECONDS = 60


@dataclass(frozen=True)
class NpmPackage:
    """A release in the npm registry."""

    name: str
    version: str
    sha512: str
    """Hash of the archive in base64, as the registry states it in ``integrity``."""

    @property
    def archive(self) -> str:
        """The archive's file name in the registry."""
        return f"{self.name.rpartition('/')[2]}-{self.version}.tgz"

    @property
    def url(self) -> str:
        registry = os.environ.get(REGISTRY_VARIABLE) or "https://registry.npmjs.org"
        return f"{registry.rstrip('/')}/{self.name}/-/{self.archive}"

    @property
    def kept(self) -> Path:
        """Where the archive is kept."""
        return cache_folder() / "npm" / self.archive

    def is_whole(self, content: bytes) -> bool:
        """Whether these are the archive's bytes."""
        return hashlib.sha512(content).digest() == b64decode(self.sha512)


ONNXRUNTIME_WEB = NpmPackage(
    "onnxruntime-web",
    "1.30.0",
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
)
TOKENIZERS = NpmPackage(
    "@huggingface/tokenizers",
    "0.2.0",
    "LidMHe1FpcSYH4vcSjXooda34pC0M8m1gmDOv7SQi6Iv+ib1zX7J3sHBCC9/3FPCkn2k1b55FneVqMRxrr99pg==",
)
PAPAPARSE = NpmPackage(
    "papaparse",
    "5.7.1",
    "qOR+UDWv6D3hMxnWWOk0ZpBdCkd+kw5Yh7aXOaNSQU8A+73EA2bhW7EiUix/hY0yulUi5FRvt7PpYSI2VDvY0g==",
)
UMAP = NpmPackage(
    "umap-js",
    "1.4.0",
    "xxpviF9wUO6Nxrx+C58SoDgea+h2PnVaRPKDelWv0HotmY6BeWeh0kAPJoumfqUkzUvowGsYfMbnsWI0b9do+A==",
)
INSIDE_UMAP = (
    NpmPackage(
        "ml-levenberg-marquardt",
        "2.1.1",
        "2+HwUqew4qFFFYujYlQtmFUrxCB4iJAPqnUYro3P831wj70eJZcANwcRaIMGUVaH9NDKzfYuA4N5u67KExmaRA==",
    ),
    NpmPackage(
        "ml-matrix",
        "6.4.1",
        "YZ6lLRhk80B2zJSC0bKocnHbpxCdXFKWb6A7QTDztf5ob2qL1g/5AYNAuDtCQgbZtW1wwFZbjXbDgk/UdiO3Uw==",
    ),
)
"""Libraries that umap-js's file contains. Only their licences are needed."""


def read_package(package: NpmPackage, names: Iterable[str]) -> dict[str, bytes]:
    """Files of a package, downloaded once.

    Args:
        package: the package.
        names: the files' paths inside it.

    Raises:
        LamError: the archive is neither kept nor can it be downloaded, or it differs from its hash.
    """
    try:
        content = package.kept.read_bytes()
    except OSError:
        content = b""
    if not package.is_whole(content):
        content = _download(package)
        write_whole(package.kept, content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {name: archive.extractfile(f"package/{name}").read() for name in names}  # type: ignore[union-attr]


def _download(package: NpmPackage) -> bytes:
    request = Request(package.url, headers={"User-Agent": "lam-export"})  # noqa: S310
    try:
        with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            content: bytes = answer.read(_MOST_BYTES)
    except (OSError, ValueError, HTTPException) as error:
        raise LamError(
            f"the site's libraries come from npm, and {package.url} cannot be downloaded ({error}); set "
            f"{REGISTRY_VARIABLE} to a registry that can be reached, or on a machine with a network run: npm pack "
            f"{package.name}@{package.version}, and copy the archive to {package.kept}"
        ) from None
    if not package.is_whole(content):
        raise LamError(
            f"expected {package.archive} with the SHA-512 {package.sha512[:16]}..., found other content at "
            f"{package.url}; set {REGISTRY_VARIABLE} to a registry that has the original"
        )
    return content
