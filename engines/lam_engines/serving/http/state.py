"""What the parts of a running server know of each other."""

from dataclasses import dataclass


@dataclass
class State:
    """Of one server."""

    draining: bool = False
    """Whether it is being stopped. It still answers."""
