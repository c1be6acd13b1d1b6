"""The Python models of the repository, which run in Triton's Python backend, where the package is not installed."""
