"""``SHA256SUMS``: the hash of every file of a bundle, as ``sha256sum`` writes it and ``sha256sum -c`` checks it.

A line is the hash, two spaces and the name. Names in a bundle have no backslash and no line end, so none of them needs
the escapes of ``sha256sum``.
"""

import re
from dataclasses import dataclass

from ..contract import CHECKSUMS, MANIFEST, NEXT_MANIFEST
from ..errors import BundleError
from .manifest import is_plain_relative

AGAIN = "copy the bundle again, or make it again: lam-export onnx"
"""The remedy for a damaged bundle."""
_LINE = re.compile("([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Checksums:
    """The content of ``SHA256SUMS``."""

    manifest: str
    """The manifest's file: ``manifest.json``, or ``manifest.next.json`` while the bundle is being extended."""
    manifest_sha256: str
    files: dict[str, str]
    """The hash of every other file, by its name."""

    def to_bytes(self) -> bytes:
        """The file's content: a line for each file, in the order of their names."""
        hashes = {**self.files, self.manifest: self.manifest_sha256}
        return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode("utf-8")

    @staticmethod
    def from_bytes(content: bytes, where: str) -> "Checksums":
        """Read the file's content, trusting nothing in it.

        Raises:
            BundleError: a line is not in the format of ``sha256sum``, a name is repeated, or the number of manifests is
                not one.
        """
        hashes: dict[str, str] = {}
        *lines, rest = content.split(b"\n")
        if rest:
            raise _damaged(where, "its last line has no end")
        for number, line in enumerate(lines, 1):
            found = _LINE.fullmatch(line.decode("utf-8", errors="backslashreplace"))  # no name has a backslash
            if found is None or not is_plain_relative(found[2]) or found[2] == CHECKSUMS:
                raise _damaged(where, f"line {number} is not a hash, two spaces and the name of a file")
            if found[2] in hashes:
                raise _damaged(where, f"line {number} repeats a name")
            hashes[found[2]] = found[1]
        manifests = [name for name in (MANIFEST, NEXT_MANIFEST) if name in hashes]
        if len(manifests) != 1:
            raise _damaged(where, f"expected one line for {MANIFEST}, found {len(manifests)}")
        return Checksums(manifests[0], hashes.pop(manifests[0]), hashes)


def _damaged(where: str, reason: str) -> BundleError:
    return BundleError(f"{where} was altered or damaged ({reason}); {AGAIN}")
