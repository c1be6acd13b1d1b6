"""Show a report as an HTML page, as a comment on a pull request, or as a table on a terminal."""

from .html import html_page
from .markdown import markdown
from .terminal import terminal

__all__ = ["html_page", "markdown", "terminal"]
