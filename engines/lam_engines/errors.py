"""Errors that the user can mend. Every message says what was expected, what was found, and what to do."""


class LamError(Exception):
    """Base of all errors that commands show as one line, without a traceback."""


class BundleError(LamError):
    """A bundle is missing, broken, changed since it was made, or of another format version."""


class EngineError(LamError):
    """An engine cannot run here."""


class InputError(LamError, ValueError):
    """Texts, token ids or options that no engine takes."""


class SnapshotError(LamError):
    """A memory's snapshot is missing, broken, of another model or format version, or cannot be written."""
