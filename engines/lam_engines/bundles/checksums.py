"""``SHA256SUMS``: the hash of every file of a bundle, as ``sha256sum`` writes it and ``sha256sum -c`` checks it.

A line is the hash, two spaces and the name. Names in a bundle are plain (no backslash, no line end), so that none needs
the escapes that ``sha256sum`` has for others.
"""

import re
from dataclasses import dataclass

from ..contract import CHECKSUMS, MANIFEST, NEXT_MANIFEST
from ..errors import BundleError
from .manifest import is_plain_relative

AGAIN = "copy the bundle again, or make it again: lam-export onnx"
"""The way out where a bundle is damaged."""
_LINE = re.compile("([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Checksums:
    """What ``SHA256SUMS`` says."""

    manifest: str
    """The file that is the manifest: ``manifest.json``, or ``manifest.next.json`` while the bundle is extended."""
    manifest_sha256: str
    files: dict[str, str]
    """Name of every other file to its hash."""

    def to_bytes(self) -> bytes:
        """The file's content: a line for each file, in the order of their names."""
        hashes = {**self.files, self.manifest: self.manifest_sha256}
        return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode("utf-8")

    @staticmethod
    def from_bytes(content: bytes, where: str) -> "Checksums":
        """Read the file's content, trusting nothing in it.

        Raises:
            BundleError: a line is not as ``sha256sum`` writes it or repeats a name, or not one manifest is listed.
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
