"""Errors that the user can fix. Every message says what was expected, what was found, and what to do."""


class LamError(Exception):
    """Base of all errors that commands print as one line, without a traceback."""


class BundleError(LamError):
    """A bundle is missing, broken, changed since it was made, or has another format version."""


class EngineError(LamError):
    """An engine cannot run here."""


class InputError(LamError, ValueError):
    """Texts, token ids or options are invalid."""


class SnapshotError(LamError):
    """A memory's snapshot is missing, broken, from another model or format version, or cannot be written."""
