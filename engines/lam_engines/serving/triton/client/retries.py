"""When a failed call is sent again, and after what pause."""

import random
import time
from typing import TYPE_CHECKING

from .errors import ServerBusyError, ServerUnavailableError, from_status

if TYPE_CHECKING:
    from tritonclient.utils import InferenceServerException

_FIRST, _LONGEST = 0.1, 2.0
"""Largest first pause, and largest pause of all, in seconds. The largest pause doubles with each attempt."""


class Attempts:
    """The attempts at one call.

    A call is tried again only if there is no server (yet) or the queue is full. Other errors would occur again, and
    after a timeout a new attempt would add to the load that caused it. Pauses are random, so that clients that failed
    together do not come back together. Their upper limit doubles with each attempt.
    """

    def __init__(self, url: str, model: str, *, timeout: float, retries: int) -> None:
        """Start the clock.

        Args:
            url: ``host:port`` of the server.
            model: name of the model.
            timeout: seconds for all attempts and the pauses between them.
            retries: how often the call may be sent again.
        """
        self._url, self._model, self._timeout, self._left = url, model, timeout, retries
        self._deadline = time.monotonic() + timeout
        self._ceiling = _FIRST

    def seconds(self) -> float:
        """Seconds that the attempt that begins now may take."""
        return max(0.001, self._deadline - time.monotonic())

    def pause(self, failure: "InferenceServerException") -> float:
        """Seconds to wait before the next attempt.

        Raises:
            ServerError: the call is not sent again; the error says what failed.
        """
        error = from_status(failure.status(), failure.message() or "", self._url, self._model, self._timeout)
        pause = random.uniform(0, self._ceiling)  # noqa: S311 - not a secret
        self._ceiling = min(2 * self._ceiling, _LONGEST)
        self._left -= 1
        if not isinstance(error, ServerBusyError | ServerUnavailableError) or self._left < 0 or pause >= self.seconds():
            raise error from None
        return pause
