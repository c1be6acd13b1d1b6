"""A line of JSON for every request: ids, sizes and times, never texts."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import orjson

from ...errors import EngineError, LamError

_log = logging.getLogger(__name__)

_FACTS = ("id", "method", "path", "status", "seconds", "bytes_in", "bytes_out", "model", "texts", "tokens", "truncated")


def access_log(name: str | None, stack: ExitStack) -> Callable[[Mapping[str, Any]], None]:
    """A function that writes the facts of a request; ``-`` is standard output, None is nowhere.

    Raises:
        EngineError: the file cannot be written.
    """
    if name is None:
        return lambda facts: None
    file: TextIO = sys.stdout
    if name != "-":
        try:
            file = stack.enter_context(Path(name).open("a", encoding="utf-8"))  # noqa: SIM115 - the stack closes it
        except OSError as error:
            raise EngineError(
                f"expected a file for --access-log, found {name} ({error.strerror}); name another, or - for standard "
                f"output"
            ) from None

    def write(facts: Mapping[str, Any]) -> None:
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} | {
            key: facts[key] for key in _FACTS if key in facts
        }
        line |= {f"{stage}_seconds": seconds for stage, seconds in facts.get("seconds_in", {}).items()}
        try:
            file.write(orjson.dumps(line).decode() + "\n")
            file.flush()
        except (OSError, LamError) as error:  # the request is answered, and its connection stays
            _log.error("%s: not in the access log: %s", facts["id"], error)

    return write
