"""Bundles: read with every hash checked, written whole or not at all."""
