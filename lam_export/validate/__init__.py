"""Compare artefacts with the reference."""
