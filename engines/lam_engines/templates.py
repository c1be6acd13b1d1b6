"""Templates of YAML files and Dockerfiles, in the folder ``templates`` of a package."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def templates_of(package: str) -> "Environment":
    """A package's templates. Jinja has no escaping for such files, so the templates write strings with ``tojson``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(  # noqa: S701
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
