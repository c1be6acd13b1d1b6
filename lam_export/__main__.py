"""``python -m lam_export``: the command, where scripts of packages are not on the path."""

from .cli import main

main()
