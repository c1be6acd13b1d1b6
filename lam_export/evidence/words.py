"""How figures and foreign texts are written, on every medium alike."""

import math
import re
from decimal import ROUND_FLOOR, Decimal
from unicodedata import category

_BIDI_CONTROLS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LONGEST = 200
_PUNCTUATION = re.compile(r"[!-'*+/:<-@\[-`{-~]")
"""Of ASCII, all but ``( ) , - . ;``."""


def visible(text: str) -> str:
    """Spell out what would act on the reader's screen instead of being read: controls, line ends, text direction.

    Lone surrogates are spelled out too: no file can hold them. Joiners stay, since emoji and Persian need them. The
    spaces of a text that is nothing else are drawn.
    """
    if text.isspace():
        text = text.replace(" ", "␣")
    return "".join(_escaped(c) if c in _BIDI_CONTROLS or category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def code(text: str) -> str:
    """A foreign text on one line of Markdown, inside a table or out of it, shown as it is."""
    shown = visible(text)
    if len(shown) > _LONGEST:
        shown = shown[:_LONGEST] + "…"
    return f"<code>{_PUNCTUATION.sub(lambda found: f'&#{ord(found[0])};', shown)}</code>"


def figure(value: float) -> str:
    """Two or three digits that tell: ``0.0120``, ``1.2e-7``, ``0.99931``, ``1 − 3.1e-13``.

    What lies just below 1 is cut, never rounded: 0.99949 does not become 0.9995.
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
    """``2e-05`` as ``2e-5``."""
    return re.sub(r"e([+-])0*", r"e\1", number).replace("e+", "e")


def megabytes(size: int) -> str:
    """Bytes as megabytes of 10^6."""
    return f"{size / 1e6:.1f}"
