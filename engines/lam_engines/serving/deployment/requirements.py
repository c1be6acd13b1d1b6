"""What a repository's Python models import, as pip takes it."""

from collections.abc import Collection, Iterator

from ..triton.wheel import REQUIREMENTS


def requirements(names: Collection[str]) -> str:
    """``requirements.txt`` for these packages: the versions that the wheel's server runs with, and their hashes."""
    return "".join(block for block in _blocks() if block.partition("==")[0] in names)


def _blocks() -> Iterator[str]:
    """Each requirement with its continued lines."""
    block = ""
    for line in REQUIREMENTS.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        block += line + "\n"
        if not line.endswith("\\"):
            yield block
            block = ""
