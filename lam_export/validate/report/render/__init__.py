"""A report as people read it: a page, a comment on a pull request, a table on a terminal."""

from .html import html_page
from .markdown import markdown
from .terminal import terminal

__all__ = ["html_page", "markdown", "terminal"]
