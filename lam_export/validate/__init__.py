"""Artefacts against the reference."""
