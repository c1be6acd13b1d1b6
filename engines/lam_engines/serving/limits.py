"""Limits on texts that every server has."""

TRUNCATIONS = ("refuse", "truncate")
"""What happens to texts that are too long. The first is the default."""
DEFAULT_MAX_TOKENS = 8192
BYTES_PER_TOKEN = 64
"""A text with more bytes than this for each allowed token is refused or cut before it is tokenised. Texts have 3 to 6
bytes a token in any language."""
