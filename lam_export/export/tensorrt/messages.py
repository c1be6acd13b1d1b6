"""The messages of TensorRT and Polygraphy."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from polygraphy.logger import G_LOGGER


@contextmanager
def collected_errors(verbose: bool) -> Iterator[list[str]]:
    """Hide all messages from the terminal unless ``verbose``. TensorRT's messages go through Polygraphy's log.

    Yields a list that collects the errors. Polygraphy's exception says only that something failed, not what.

    Args:
        verbose: show all messages, on standard error.
    """
    errors: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(record.getMessage())

    collector = Collector(logging.ERROR)
    handlers: list[logging.Handler] = [collector, *([logging.StreamHandler()] if verbose else [])]
    settings = {"colors": False, "letter": False, "use_python_logging_system": True}
    before = {name: getattr(G_LOGGER, name) for name in settings}
    for name, value in settings.items():
        setattr(G_LOGGER, name, value)
    logger = logging.getLogger("Polygraphy")
    level, propagate = logger.level, logger.propagate
    logger.setLevel(1)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        with G_LOGGER.verbosity(G_LOGGER.VERBOSE if verbose else G_LOGGER.ERROR):
            yield errors
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        for name, value in before.items():
            setattr(G_LOGGER, name, value)
