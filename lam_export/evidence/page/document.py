"""A page as one HTML file. It needs no network, no other file and, except for comfort, no scripts."""

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
    """Render a template that extends ``document.html`` to one file.

    Everything in the context is shown as text: the templates escape it, and controls are spelled out. The page's
    content security policy allows only the script of ``page.js`` and the style of ``style.css``.

    Args:
        package: the package whose folder ``templates`` holds the template. Templates that it lacks are taken from this
            package.
        template: file name of the template.
        starts: the beginnings of the texts that the dots of the plots stand for.
        functions: functions that the template and its imported templates call.
        context: the variables of the template.
    """
    from markupsafe import Markup

    style, script = _resource("style.css"), _resource("page.js")
    environment = _environment(package)
    environment.globals |= functions or {}  # a template's own globals do not reach imported macros
    return environment.get_template(template).render(
        context,
        # These two are our own files, not a user's text. Nothing else is left unescaped.
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
    """A value as a template prints it: texts get their controls spelled out."""
    return words.visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _resource(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The name of an inline script or style in a content security policy."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
