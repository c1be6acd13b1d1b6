"""One subject at one piece of work, in a process of its own: nobody else's threads and memory in its figures."""

import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import LamError
from lam_export.evidence import process_memory as memory

from .schema import ProcessMemory
from .shapes import Shape

_REST = 0.01
"""Seconds before a timed run. The threads of who ran before spin for some milliseconds before they sleep."""
_PATIENCE = 2
"""Seconds for a process to end when it is told to."""


class SubjectProcess:
    """A process that loads a subject and then does its work whenever it is asked to.

    Not ``multiprocessing``: its processes import the user's main script again, and run it where it has no guard.
    """

    def __init__(self, load: Callable[[], EmbeddingEngine], shape: Shape) -> None:
        """Start it.

        Args:
            load: of the subject; it is pickled.
            shape: the work.

        Raises:
            LamError: the subject cannot be loaded.
        """
        self._process = subprocess.Popen(  # noqa: S603  (Python, and our own module)
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            self._ask((load, shape))
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def embed(self) -> np.ndarray:
        """Do the work, not timed; ``[texts, hidden]``.

        Raises:
            LamError: the subject cannot do it.
        """
        return self._ask("embed")

    def seconds(self) -> float:
        """Do the work and time it.

        Raises:
            LamError: the subject cannot do it.
        """
        return self._ask("seconds")

    def memory(self) -> ProcessMemory | None:
        """What it took until now; None where the system does not say."""
        return self._ask("memory")

    def close(self) -> None:
        """End the process, at work or not."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate(timeout=_PATIENCE)  # it ends when its questions end, and can tidy up
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "SubjectProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, question: Any) -> Any:
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None and answers is not None  # noqa: S101, PT018
        try:
            pickle.dump(question, questions)
            questions.flush()
            error, answer = pickle.load(answers)  # noqa: S301  (of our own process)
        except (EOFError, OSError, pickle.UnpicklingError):
            code = self._process.wait()
            raise LamError(
                f"its process was ended from outside (exit code {code}), most likely because memory ran short"
            ) from None
        if error is not None:
            raise error
        return answer


class _Server:
    """What answers in the process."""

    def __init__(self, load: Callable[[], EmbeddingEngine], shape: Shape) -> None:
        self._engine = load()
        self._shape = shape
        self._loaded = memory.resident()

    def embed(self) -> np.ndarray:
        vectors = self._shape.run(self._engine)
        memory.reset_peak()  # what a compiler took is not the model's
        return vectors

    def seconds(self) -> float:
        time.sleep(_REST)
        start = time.perf_counter()
        self._shape.run(self._engine)
        return time.perf_counter() - start

    def memory(self) -> ProcessMemory | None:
        peak = memory.peak()
        return None if self._loaded is None or peak is None else ProcessMemory(loaded=self._loaded, peak=peak)


def serve() -> None:
    """The process: questions come on standard input, answers go to standard output, pickled."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent ends this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come in between
    server = error = None

    def say(answer: Any) -> None:
        pickle.dump((error, answer), answers)
        answers.flush()

    with suppress(EOFError, OSError):  # the parent has no more questions, or is gone
        load, shape = pickle.load(sys.stdin.buffer)  # noqa: S301  (of our own parent)
        error, server = _attempt(partial(_Server, load, shape))
        say(None)
        while error is None:
            question = pickle.load(sys.stdin.buffer)  # noqa: S301
            error, answer = _attempt(getattr(server, question))
            say(answer)


def _attempt(task: Callable[[], Any]) -> tuple[Exception | None, Any]:
    """What went wrong, as it can be sent, and what came of it."""
    try:
        return None, task()
    except LamError as error:
        return LamError(str(error)), None
    except MemoryError:
        return LamError("memory ran short"), None
    except Exception:
        return RuntimeError(traceback.format_exc()), None
