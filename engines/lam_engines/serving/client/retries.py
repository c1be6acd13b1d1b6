"""When a failed call is sent again, and after what pause."""

import random
import time

from .errors import ServerBusyError, ServerError, ServerUnavailableError

_FIRST, _LONGEST = 0.1, 2.0
"""Largest first pause, and largest pause of all, in seconds. The largest pause doubles with each attempt."""


class Attempts:
    """The attempts at one call.

    A call is tried again only if there is no server (yet) or the queue is full. Other errors would occur again, and
    after a timeout a new attempt would add to the load that caused it. Pauses are random, so that clients that failed
    together do not come back together. Their upper limit doubles with each attempt.
    """

    def __init__(self, *, timeout: float, retries: int) -> None:
        """Start the clock.

        Args:
            timeout: seconds for all attempts and the pauses between them.
            retries: how often the call may be sent again.
        """
        self._left = retries
        self._deadline = time.monotonic() + timeout
        self._ceiling = _FIRST

    def seconds(self) -> float:
        """Seconds that the attempt that begins now may take."""
        return max(0.001, self._deadline - time.monotonic())

    def pause(self, error: ServerError) -> float:
        """Seconds to wait before the next attempt: at random, but not less than the server asks for.

        Raises:
            ServerError: the call is not sent again; the error says what failed.
        """
        pause = max(error.retry_after, random.uniform(0, self._ceiling))  # noqa: S311 - not a secret
        self._ceiling = min(2 * self._ceiling, _LONGEST)
        self._left -= 1
        if not isinstance(error, ServerBusyError | ServerUnavailableError) or self._left < 0 or pause >= self.seconds():
            raise error from None
        return pause
