"""Extension of griffe: Sphinx's roles in docstrings, which Markdown does not know, become plain code."""

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?\.?([^`]+)`")


class Roles(griffe.Extension):
    """``:meth:`embed``` is shown as ``embed``."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called by griffe for every object that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
