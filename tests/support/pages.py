"""The pages of the documentation and their code blocks."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    sorted(
        [
            *ROOT.glob("docs/**/*.md"),
            *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
            *(ROOT / place / "README.md" for place in ("benchmarks", "engines/cpp", "examples", "lam_export/demo")),
            *ROOT.glob("plugins/lam_plugins/*/README.md"),
            *ROOT.glob("benchmarks/results/*.md"),
        ]
    )
)

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One code block of a page."""

    page: Path
    line: int
    """Of its first line of code."""
    language: str
    code: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = _BLOCK.finditer(text)
    return [Block(page, text.count("\n", 0, m.start(3)) + 1, m[2], textwrap.dedent(m[3])) for m in found]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def typed_commands(console: str) -> Iterator[str]:
    """What is typed in a console block: the lines after ``$``, with those that they go on over."""
    lines = iter(console.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            continue
        command = line[2:]
        while not _is_whole(command):
            command += "\n" + next(lines)
        yield command


def programs(command: str) -> list[list[str]]:
    """The programs that a line of shell starts, each with its arguments; what redirects is left out."""
    found: list[list[str]] = [[]]
    redirected = False
    for word in _words(command):
        if redirected:
            redirected = False
        elif word in ("<", ">", ">>"):
            redirected = True
        elif word in ("|", "||", "&&", ";"):
            found.append([])
        elif found[-1] or not re.match(r"[A-Za-z_]+=", word):  # an assignment before a command
            found[-1].append(word)
    return [program for program in found if program]


def _words(command: str) -> Iterator[str]:
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    return iter(lexer)


def _is_whole(command: str) -> bool:
    try:
        list(_words(command))
    except ValueError:  # a quotation is open
        return False
    return not command.endswith("\\")
