"""The one exception of checkpoint reading."""

from lam_engines.errors import LamError


class CheckpointError(LamError):
    """A checkpoint that cannot be read, or that holds something other than a LAM encoder."""

    def __init__(self, message: str) -> None:
        # Messages quote names found in foreign files, which may hold line breaks and terminal escapes.
        super().__init__("".join(c if c.isprintable() else " " for c in message))
