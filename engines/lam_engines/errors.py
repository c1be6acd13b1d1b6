"""What the user can mend: every message says what was expected, what was found, and the way out."""


class LamError(Exception):
    """Base of all errors that are shown as one line, without a traceback."""


class BundleError(LamError):
    """A bundle that is missing, broken, changed since it was made, or of another format version."""


class EngineError(LamError):
    """An engine that cannot run here."""


class InputError(LamError, ValueError):
    """Texts or token ids that no engine may be given."""


class SnapshotError(LamError):
    """A memory's snapshot that is missing, broken, of another model or format version, or cannot be written."""
