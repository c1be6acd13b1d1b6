"""The one exception of checkpoint reading."""

from lam_engines.errors import LamError


class CheckpointError(LamError):
    """A checkpoint cannot be read, or is not a LAM encoder."""

    def __init__(self, message: str) -> None:
        # Messages quote names found in foreign files, which may hold line breaks and terminal escapes.
        super().__init__("".join(c if c.isprintable() else " " for c in message))
