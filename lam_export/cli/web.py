"""``lam-export web``: a bundle to a static site that searches texts in the browser."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from ._console import examples, out, say
from ._options import BundleArgument, Force
from ._progress import shown_progress

EXAMPLES = examples(
    "lam-export web my-model -o site",
    "lam-export web my-model -o site --title 'Our handbook' --force",
)


def run(
    bundle: BundleArgument,
    output: Annotated[
        Path, typer.Option("--output-site", "-o", help="Folder of the site to write.", show_default=False)
    ],
    title: Annotated[str | None, typer.Option(help="Heading of the page.", show_default="the bundle's name")] = None,
    force: Force = False,
) -> None:
    """Write a static site that searches texts by meaning, in the browser alone.

    The bundle needs an int8 graph. The site's libraries are downloaded from npm once, then kept.
    """
    from lam_export.pipelines.build_site import build_site

    with shown_progress() as progress:
        site = build_site(bundle, output, title=title, force=force, progress=progress)
    say(out, f"Wrote {output}", style="green")
    say(out, f"  a first visit downloads at most {site.first_visit / 1e6:.1f} MB, if the server compresses text")
    say(out, f"See it: python -m http.server --bind 127.0.0.1 --directory {quote(str(output))} 8000")
    say(out, "and open http://127.0.0.1:8000/. Any web server with HTTPS can publish the folder.")
