"""What killed runs left in the temporary folder and in shared memory."""

import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from .process import SHARED_MEMORY

_AGE = 60.0
"""Seconds that leftovers must be old. Process ids are used again."""
_FOLDER, _SEGMENT = re.compile(r"lam-export-(\d+)-\w+"), re.compile(r"lam_(\d+)_\w+")


def own_prefix() -> str:
    """How the names of this process's temporary folders begin."""
    return f"lam-export-{os.getpid()}-"


def sweep() -> None:
    """Remove this user's leftovers of processes that have ended."""
    for folder, name in ((Path(tempfile.gettempdir()), _FOLDER), (SHARED_MEMORY, _SEGMENT)):
        for place in folder.iterdir() if folder.is_dir() else ():
            found = name.fullmatch(place.name)
            with suppress(OSError):
                if found and not Path(f"/proc/{found[1]}").exists():
                    facts = place.lstat()
                    if facts.st_uid == os.getuid() and time.time() - facts.st_mtime > _AGE:
                        if place.is_dir() and not place.is_symlink():
                            shutil.rmtree(place, ignore_errors=True)
                        else:
                            place.unlink()
