"""The one exception of checkpoint reading."""

from lam_engines.errors import LamError


class CheckpointError(LamError):
    """A checkpoint cannot be read, or is not a LAM encoder."""
