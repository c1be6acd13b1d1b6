"""What a reader would see amiss in a page: each function gives what is, and an empty list is right."""

import colorsys

import chromium
import numpy as np

_CLIPPED = """[...document.querySelectorAll("svg text")].filter((text) => {
    const [inner, outer] = [text, text.ownerSVGElement].map((element) => element.getBoundingClientRect());
    return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 ||
        inner.bottom > outer.bottom + 1;
}).map((text) => text.textContent)"""

_BROKEN = """(() => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (!node.parentElement.checkVisibility() || node.parentElement.closest("svg, script, style, dd, code, bdi"))
            continue;
        for (const word of node.data.matchAll(/[\\w@.]+/g)) {
            if (word[0].length > 20 || /\\.\\w/.test(word[0])) continue;
            const range = document.createRange();
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) found.push(word[0]);
        }
    }
    return found;
})()""".replace("\\\\", "\\")

_TOUCHING = """(() => {
    const boxes = (names) => [...document.querySelectorAll(names)].filter((element) => element.checkVisibility())
        .map((element) => [element.textContent.trim(), element.getBoundingClientRect()]);
    const found = [];
    for (const [heading, box] of boxes("h2, h3"))
        for (const [caption, other] of boxes("p.small, caption")) {
            const above = other.left < box.right && box.left < other.right && other.bottom <= box.top;
            if (above && box.top - other.bottom < 8) found.push([caption, heading]);
        }
    return found;
})()"""


def clipped(page: chromium.Page) -> list[str]:
    """Words of drawings that are cut off at an edge."""
    return page.evaluate(_CLIPPED)


def broken_words(page: chromium.Page) -> list[str]:
    """Words of at most 20 characters that go on in another line. Names of files, code and a user's texts may."""
    return page.evaluate(_BROKEN)


def touching(page: chromium.Page) -> list[list[str]]:
    """Captions that end where a heading begins."""
    return page.evaluate(_TOUCHING)


def contrast(page: chromium.Page, name: str) -> float:
    """WCAG's contrast of a colour of the style sheet with the page."""
    light, dark = sorted(map(_luminance, (_colour(page, name), _colour(page, "--page"))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def hue(page: chromium.Page, name: str) -> float:
    """Degrees on the colour circle."""
    return 360 * colorsys.rgb_to_hls(*_colour(page, name))[0]


def _colour(page: chromium.Page, name: str) -> list[float]:
    found = page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()")
    return [int(found[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _luminance(colour: list[float]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
