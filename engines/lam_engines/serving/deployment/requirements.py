"""``requirements.txt`` for a repository's Python models."""

from collections.abc import Collection, Iterator

from ..triton.wheel import REQUIREMENTS


def requirements(names: Collection[str]) -> str:
    """``requirements.txt`` of these packages, with the versions and hashes that PyPI's server is installed with."""
    return "".join(block for block in _blocks() if block.partition("==")[0] in names)


def _blocks() -> Iterator[str]:
    """Each requirement, with its continuation lines."""
    block = ""
    for line in REQUIREMENTS.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        block += line + "\n"
        if not line.endswith("\\"):
            yield block
            block = ""
