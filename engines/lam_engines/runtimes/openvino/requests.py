"""What runs the batches of a graph in OpenVINO: alone with all threads, or beside others on a share of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue
from threading import Lock
from typing import Any


class Requests:
    """OpenVINO's inference requests of one graph, for any number of threads.

    One batch runs at a time, on all threads, until :meth:`share` is called.
    """

    def __init__(self, compiled: Any) -> None:
        """Take the graph as it was compiled for all threads."""
        self._whole, self._lock = compiled.create_infer_request(), Lock()
        self._calls, self._counting = 0, Lock()
        self._shares: LifoQueue[Any] | None = None

    def share(self, compiled: Any, calls: int) -> None:
        """Let so many batches run beside each other, in the graph as it was compiled for so many streams.

        Two batches on one thread each take a tenth less time than one after the other on two: threads wait for each
        other, and a batch's fixed cost is smaller. A batch that is alone still has all threads.
        """
        shares: LifoQueue[Any] = LifoQueue()
        for _ in range(calls):
            shares.put(compiled.create_infer_request())
        self._shares = shares

    @contextmanager
    def taken(self, *, whole: bool = False) -> Iterator[Any]:
        """A request for this block alone. None once they are closed.

        Args:
            whole: all threads, also beside other batches.
        """
        with self._counting:
            shares = self._shares if self._calls and not whole else None
            self._calls += 1
        try:
            if shares is None:
                with self._lock:
                    yield self._whole
                return
            request = shares.get()
            try:
                yield request
            finally:
                shares.put(request)
        finally:
            with self._counting:
                self._calls -= 1

    def close(self) -> None:
        """Give them back, those of running batches after these."""
        with self._lock:
            self._whole = self._shares = None
