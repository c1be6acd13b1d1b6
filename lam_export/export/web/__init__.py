"""A static site that searches texts with the model, in the browser alone.

``site.py`` composes it from ``templates/`` and from the libraries that ``packages.py`` fetches.
"""

from .site import SITE, Probe, SiteError, write_site

__all__ = ["SITE", "Probe", "SiteError", "write_site"]
