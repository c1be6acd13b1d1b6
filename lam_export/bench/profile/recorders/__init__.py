"""Recorders of a runtime's runs: one file for each runtime, named after it."""
