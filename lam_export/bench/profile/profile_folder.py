"""A profile on a terminal, as Markdown, and on disk."""

from pathlib import Path
from typing import TYPE_CHECKING

from lam_engines.bundles.whole import write_whole
from lam_engines.errors import LamError
from lam_export.evidence.tables import Table, as_text, markdown_table, rich_table
from lam_export.evidence.words import code

from .profile_page import profile_page
from .profile_tables import headline, provenance, tables
from .schema import Profile

if TYPE_CHECKING:
    from rich.console import Group

PAGE, COMMENT, JSON = "profile.html", "profile.md", "profile.json"


def write_profile(folder: Path, profile: Profile, *, layers: bool) -> None:
    """Write a profile, each file whole or not at all and ``profile.json`` last; one that is there is replaced.

    Raises:
        LamError: the disk is full, or the folder may not be written to.
    """
    comment = profile_markdown(profile, layers=layers)
    try:
        for name, content in ((PAGE, profile_page(profile)), (COMMENT, comment), (JSON, to_json(profile))):
            write_whole(folder / name, content.encode("utf-8"))
    except OSError as error:
        raise LamError(
            f"the profile was not written to {folder} ({error.strerror}); name another folder: -o FOLDER"
        ) from None


def to_json(profile: Profile) -> str:
    """``profile.json``."""
    return profile.model_dump_json(indent=2) + "\n"


def profile_markdown(profile: Profile, *, layers: bool) -> str:
    """All tables as Markdown, and where they come from folded away."""
    blocks = [f"### Profile of {code(profile.bundle)}", as_text(headline(profile))]
    for table in tables(profile, layers=layers):
        blocks += [f"#### {as_text(table.title)}", markdown_table(table), *([table.note] if table.note else [])]
    facts = markdown_table(Table("", ("", ""), provenance(profile), 2))
    blocks.append(f"<details><summary>Where this comes from</summary>\n\n{facts}\n\n</details>")
    return "\n\n".join(blocks) + "\n"


def profile_terminal(profile: Profile, *, layers: bool) -> "Group":
    """All tables for ``rich`` to print. Nothing in them is read as markup."""
    from rich.console import Group
    from rich.text import Text

    shown = (part for table in tables(profile, layers=layers) for part in rich_table(table))
    return Group(*shown, Text(headline(profile), "green" if profile.matched else "bold red"))
