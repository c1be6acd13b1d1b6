"""The Python models of a repository. They run in Triton's Python backend, from copies: see :mod:`..modules`."""
