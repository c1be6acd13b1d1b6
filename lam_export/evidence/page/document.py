"""A page as one HTML file that needs nothing else: no network, no other file, and scripts only for comfort."""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lam_export.evidence import words

from .drawing import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH

if TYPE_CHECKING:
    from jinja2 import Environment

_FRAME = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}


def document(
    package: str,
    template: str,
    *,
    starts: Sequence[str] = (),
    functions: dict[str, Any] | None = None,
    **context: Any,
) -> str:
    """A template that extends ``document.html``, as one file.

    Whatever the context holds is shown as text: the templates escape it, controls are spelled out, and the page's
    content security policy lets no script run and nothing load but what stands in ``page.js`` and ``style.css``.

    Args:
        package: its folder ``templates`` holds the template; what it does not hold is taken from this package's.
        template: file name.
        starts: the beginnings of the texts that dots of the plots stand for.
        functions: what the template calls, and those that it imports.
        context: what the template speaks of.
    """
    from markupsafe import Markup

    style, script = _resource("style.css"), _resource("page.js")
    environment = _environment(package)
    environment.globals |= functions or {}  # a template's own globals would not reach the macros that it imports
    return environment.get_template(template).render(
        context,
        # The page's own, not a user's: the only texts that are not escaped.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
        starts=[words.visible(start) for start in starts],
    )


@cache
def _environment(package: str) -> "Environment":
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, __package__))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals |= {"frame": _FRAME, "figure": words.figure, "megabytes": words.megabytes}
    return environment


def _shown(value: Any) -> Any:
    """What a template prints: texts of the report with their controls spelled out."""
    return words.visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _resource(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
