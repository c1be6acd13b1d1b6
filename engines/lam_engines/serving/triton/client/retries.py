"""When a call is sent again, and after how long."""

import random
import time
from typing import TYPE_CHECKING

from .errors import ServerBusyError, ServerUnavailableError, from_status

if TYPE_CHECKING:
    from tritonclient.utils import InferenceServerException

_FIRST, _LONGEST = 0.1, 2.0
"""Seconds: the ceiling of the first pause, doubled for each that follows, and that of any."""


class Attempts:
    """The attempts at one call.

    Only what passes by itself is tried again: no server there (yet), or a full queue. Anything else would fail again,
    or, after a timeout, add to the load that caused it. Pauses are random below a ceiling that doubles, so that clients
    that failed together do not come back together.
    """

    def __init__(self, url: str, model: str, *, timeout: float, retries: int) -> None:
        """Start the clock.

        Args:
            url: ``host:port`` that is called.
            model: that is asked for.
            timeout: seconds for all attempts and the pauses between them.
            retries: how many times at most the call is sent again.
        """
        self._url, self._model, self._timeout, self._left = url, model, timeout, retries
        self._deadline = time.monotonic() + timeout
        self._ceiling = _FIRST

    def seconds(self) -> float:
        """For the attempt that begins now."""
        return max(0.001, self._deadline - time.monotonic())

    def pause(self, failure: "InferenceServerException") -> float:
        """Seconds to wait before the next attempt.

        Raises:
            ServerError: there will be none; the error says what failed.
        """
        error = from_status(failure.status(), failure.message() or "", self._url, self._model, self._timeout)
        pause = random.uniform(0, self._ceiling)  # noqa: S311 - not a secret
        self._ceiling = min(2 * self._ceiling, _LONGEST)
        self._left -= 1
        if not isinstance(error, ServerBusyError | ServerUnavailableError) or self._left < 0 or pause >= self.seconds():
            raise error from None
        return pause
