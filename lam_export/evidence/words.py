"""Write figures and foreign texts in the same way on every medium."""

import math
import re
from decimal import ROUND_FLOOR, Decimal
from unicodedata import category

_BIDI_CONTROLS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LONGEST = 200
_PUNCTUATION = re.compile(r"[!-'*+/:<-@\[-`{-~]")
"""ASCII punctuation, except ``( ) , - . ;``."""


def visible(text: str) -> str:
    """Spell out characters that act on a screen instead of being shown: controls, line ends, text direction.

    Lone surrogates are spelled out too, because UTF-8 cannot hold them. Joiners stay, because emoji and Persian need
    them. In a text of nothing but white space, spaces become visible.
    """
    if text.isspace():
        text = text.replace(" ", "␣")
    return "".join(_escaped(c) if c in _BIDI_CONTROLS or category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def code(text: str) -> str:
    """A foreign text as code on one line of Markdown, safe inside and outside a table."""
    shown = visible(text)
    if len(shown) > _LONGEST:
        shown = shown[:_LONGEST] + "…"
    return f"<code>{_PUNCTUATION.sub(lambda found: f'&#{ord(found[0])};', shown)}</code>"


def figure(value: float) -> str:
    """A number with two or three significant digits: ``0.0120``, ``1.2e-7``, ``0.99931``, ``1 − 3.1e-13``.

    A number just below 1 is cut, never rounded up: 0.99949 does not become 0.9995.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value):
        return f"{int(value):,}"
    if 0.9 < value < 1:
        return _below_one(value)
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
    return short_exponent(f"{value:.1e}")


def _below_one(value: float) -> str:
    missing = 1 - value
    if missing < 1e-6:
        return f"1 − {figure(missing)}"
    digits = max(4, 1 - math.floor(math.log10(missing)))
    return str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR))


def short_exponent(number: str) -> str:
    """A number with a short exponent: ``2e-05`` becomes ``2e-5``."""
    return re.sub(r"e([+-])0*", r"e\1", number).replace("e+", "e")


def megabytes(size: int) -> str:
    """Bytes as megabytes (10^6 bytes)."""
    return f"{size / 1e6:.1f}"
