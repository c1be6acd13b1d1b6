"""One subject at one piece of work, in its own process, so that no other's threads and memory count."""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from lam_engines.embedding.engine import EmbeddingEngine
from lam_engines.errors import LamError
from lam_export.bench.timing import REST, seconds_of
from lam_export.evidence import process_memory as memory

from .schema import ProcessMemory
from .shapes import Shape

_PATIENCE = 2
"""Seconds that a process has to end before it is killed."""


class SubjectProcess:
    """A process that loads a subject and then does the work whenever it is asked to.

    ``multiprocessing`` is not used: its processes import the user's main script again, which runs the script if it has
    no guard.
    """

    def __init__(self, load: Callable[[], EmbeddingEngine], shape: Shape) -> None:
        """Start it.

        Args:
            load: loads the subject. It is pickled.
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
        """Do the work without timing it; ``[texts, hidden]``.

        Raises:
            LamError: the subject cannot do the work.
        """
        return self._ask("embed")

    def seconds(self) -> float:
        """Do the work; the seconds that it took.

        Raises:
            LamError: the subject cannot do the work.
        """
        return self._ask("seconds")

    def memory(self) -> ProcessMemory | None:
        """The memory of the process until now; None where the system does not say."""
        return self._ask("memory")

    def close(self) -> None:
        """End the process, even if it is at work."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate(timeout=_PATIENCE)  # it ends when there are no more questions, and can tidy up
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
                f"the subject's process was ended from outside (exit code {code}), most likely because memory ran short"
            ) from None
        if error is not None:
            raise error
        return answer


class _Server:
    """Answers questions in the process."""

    def __init__(self, load: Callable[[], EmbeddingEngine], shape: Shape) -> None:
        self._engine = load()
        self._shape = shape
        self._loaded = memory.resident()

    def embed(self) -> np.ndarray:
        vectors = self._shape.run(self._engine)
        memory.reset_peak()  # the memory that a compiler took does not count
        return vectors

    def seconds(self) -> float:
        return seconds_of(partial(self._shape.run, self._engine), REST)

    def memory(self) -> ProcessMemory | None:
        peak = memory.peak()
        return None if self._loaded is None or peak is None else ProcessMemory(loaded=self._loaded, peak=peak)


def serve() -> None:
    """Run the process. Questions come on standard input and answers go to standard output, both pickled."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent ends this one
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that prints of libraries do not mix with answers
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
    """Run a task; its error in a form that can be pickled, or None, and its result."""
    try:
        return None, task()
    except LamError as error:
        return LamError(str(error)), None
    except MemoryError:
        return LamError("memory ran short"), None
    except Exception:
        return RuntimeError(traceback.format_exc()), None
