"""Errors that the user can fix. Every message says what was expected, what was found, and what to do."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit


class LamError(Exception):
    """Base of all errors that commands print as one line, without a traceback."""

    passing = False
    """Whether the same may work a moment later, as with a network."""

    def __init__(self, message: str) -> None:
        # Messages quote names of files and what is in them, which may hold line breaks and terminal escapes.
        super().__init__("".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in message))


class BundleError(LamError):
    """A bundle is missing, broken, changed since it was made, or has another format version."""


class EngineError(LamError):
    """An engine cannot run here."""


class InputError(LamError, ValueError):
    """Texts, token ids or options are invalid."""


class SnapshotError(LamError):
    """A memory's snapshot is missing, broken, from another model or format version, or cannot be written."""


def reason_of(error: Exception) -> str:
    """What the system says of an error, without its number and path; of other errors all that they say."""
    return getattr(error, "strerror", None) or str(error)


def first_line(error: Exception) -> str:
    """The beginning of what a library says, or the name of its error if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


def installing(extras: str) -> str:
    """The command that installs extras of lam-export, such as ``cpu`` or ``export,cpu``.

    No index has lam-export. So the command names what it was installed from, or the clone that it runs in.
    """
    editable = ""
    source = _installed_from()
    clone = Path(__file__).absolute().parents[2]
    if (clone / "pyproject.toml").is_file() and (clone / "engines") == Path(__file__).absolute().parents[1]:
        source, editable = str(clone), "--editable "
    return f"pip install {editable}'{source}[{extras}]'"


def _installed_from() -> str:
    """The wheel or the clone, as pip noted it; the wheel's usual name if it noted none."""
    try:
        found = distribution("lam-export")
        url = json.loads(found.read_text("direct_url.json") or "{}").get("url", "")
        return unquote(urlsplit(url).path) or f"lam_export-{found.version}-py3-none-any.whl"
    except (PackageNotFoundError, ValueError):
        return "."
