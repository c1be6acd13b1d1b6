"""Actors that take one piece of work after the other. Their number grows and shrinks, and they may die."""

import re
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

from ..errors import EngineError, LamError, installing

_TRIES = 3
_PAUSE = 1.0
"""Seconds until the caller's checks run again while nothing happens."""


class ActorPool:
    """Between ``low`` and ``high`` actors.

    It begins with ``low``. While all are at work and more work waits, it asks for as many again: where the cluster has
    no room, the new ones wait, and a cluster that grows by itself sees what is wanted. Each actor has one piece of work
    at a time and fetches its data itself, so that nothing piles up.

    Args:
        make: starts an actor.
        low, high: numbers of actors.
        check: called every second; it may raise.
        where: whether errors name the machine.
    """

    def __init__(
        self, make: Callable[[], Any], low: int, high: int, check: Callable[[], None], *, where: bool = False
    ) -> None:
        self._make, self._low, self._high, self._check, self._where = make, low, high, check, where
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._asked: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, Any]] = {}
        self._failures = 0

    @property
    def alive(self) -> int:
        """Actors that have started."""
        return len(self._idle) + len(self._busy)

    def run(self, method: str, work: Iterable[Hashable], *, last: bool = True) -> Iterator[Any]:
        """Do pieces of work with a method of the actors, and give the results as they come.

        A piece whose actor dies goes to another one, three times at most. With ``last``, actors that find no more work
        are ended, so that their machines are free.

        Raises:
            LamError: of the method, or three actors died of one piece of work, or cannot start.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        waiting, tries = deque(work), Counter[Hashable]()
        while waiting or self._busy:
            self._resize(len(waiting), last)
            while waiting and self._idle:
                actor, item = self._idle.pop(), waiting.popleft()
                self._busy[getattr(actor, method).remote(item)] = actor, item
            at_work = [*self._busy, *self._starting, *self._asked]
            if ray.wait(at_work, timeout=_PAUSE)[0]:
                done, _ = ray.wait(at_work, num_returns=len(at_work), timeout=0)
            else:
                done = []
            self._check()
            for ref in done:
                if ref in self._starting:
                    self._started(ref)
                    continue
                if ref in self._asked:
                    self._answered(ref)
                    continue
                actor, item = self._busy.pop(ref)
                try:
                    result = ray.get(ref)
                except RayTaskError as error:
                    self._explain(error)
                except RayError as error:
                    self._ask_idle()
                    tries[item] += 1
                    if tries[item] == _TRIES:
                        raise EngineError(
                            f"{_TRIES} workers were killed while they worked on {_named(item)}, most likely for lack "
                            f"of memory ({_line(error)}); run the command again with fewer --workers or --batch-tokens"
                        ) from None
                    waiting.appendleft(item)
                else:
                    self._idle.append(actor)
                    yield result

    def _resize(self, waiting: int, last: bool) -> None:
        import ray

        while last and not waiting and self._idle:
            ray.kill(self._idle.pop())
        now = self.alive + len(self._starting) + len(self._asked)
        grow = now if waiting > len(self._idle) and not self._starting else 0
        wanted = min(self._high, max(self._low, now + grow), len(self._busy) + waiting)
        for _ in range(wanted - now):
            actor = self._make()
            self._starting[actor.__ray_ready__.remote()] = actor

    def _started(self, ref: Any) -> None:
        import ray
        from ray.exceptions import RayError

        actor = self._starting.pop(ref)
        try:
            ray.get(ref)
        except RayError as error:
            self._failures += 1
            if "ModuleNotFoundError" in str(error):
                raise EngineError(
                    f"expected the packages of lam-export on every machine of the cluster, found one missing "
                    f"({_line(error, 'ModuleNotFoundError')}); run there: {installing('ray,cpu')}"
                ) from None
            if self._failures == _TRIES:
                raise EngineError(
                    f"workers do not start ({_line(error)}); look at the cluster with: ray status"
                ) from None
        else:
            self._failures = 0
            self._idle.append(actor)

    def _ask_idle(self) -> None:
        """Ask idle actors whether they are alive: several end with their machine, and no work is lost by them."""
        self._asked |= {actor.__ray_ready__.remote(): actor for actor in self._idle}
        self._idle.clear()

    def _answered(self, ref: Any) -> None:
        import ray
        from ray.exceptions import RayError

        actor = self._asked.pop(ref)
        with suppress(RayError):
            ray.get(ref)
            self._idle.append(actor)

    def _explain(self, error: Any) -> NoReturn:
        found = re.search(r"ip=([^,)]+)", str(error)) if self._where else None
        cause, where = error.cause, f" (on {found[1]})" if found else ""
        if isinstance(cause, LamError):
            raise LamError(f"{cause}{where}") from None
        raise EngineError(f"a worker failed{where}: {type(cause).__name__}: {_line(cause)}") from None


def _named(item: Any) -> str:
    first = item[0]
    return getattr(first, "name", first)


def _line(error: object, word: str = "") -> str:
    """A line of an error: the last with a word, or the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    chosen = [line for line in lines if word in line] if word else lines[:1]
    return chosen[-1][:300] if chosen else type(error).__name__
