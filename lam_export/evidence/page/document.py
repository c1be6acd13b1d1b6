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


def document(*, starts: Sequence[str], **context: Any) -> str:
    """Render ``document.html``.

    Everything in the context is shown as text: the templates escape it, and controls are spelled out. The page's
    content security policy allows only the script of ``page.js`` and the style of ``style.css``.

    Args:
        starts: the beginnings of the texts that the dots of the plots stand for.
        context: the variables of the template.
    """
    from markupsafe import Markup

    style, script = _resource("style.css"), _resource("page.js")
    return (
        _environment()
        .get_template("document.html")
        .render(
            context,
            # These two are our own files, not a user's text. Nothing else is left unescaped.
            style=Markup(style),  # noqa: S704
            script=Markup(script),  # noqa: S704
            style_hash=_hash(style),
            script_hash=_hash(script),
            starts=[words.visible(start) for start in starts],
        )
    )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals["frame"] = _FRAME
    return environment


def _shown(value: Any) -> Any:
    """A value as a template prints it: texts get their controls spelled out."""
    return words.visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _resource(name: str) -> str:
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The name of an inline script or style in a content security policy."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
