"""A file of one long text, piece by piece."""

import io
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .lines import STANDARD_INPUT, open_binary, open_standard_input, unreadable

_CHARACTERS = 1 << 16


def read_pieces(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file, unchanged but for a byte order mark; ``-`` is standard input.

    Raises:
        InputError: from the iterator: the file cannot be read, or is not UTF-8.
    """
    owned = path != STANDARD_INPUT
    name = str(path) if owned else "standard input"
    file = open_binary(path) if owned else open_standard_input()
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        while piece := text.read(_CHARACTERS):
            yield piece
    except OSError as error:
        raise unreadable(name, error) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: expected UTF-8, found byte 0x{error.object[error.start]:02x}; convert the file with: iconv -f "
            f"ITS_ENCODING -t UTF-8"
        ) from None
    finally:
        if owned:
            text.close()
        else:
            text.detach()
