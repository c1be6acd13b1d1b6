"""The version, written once: packaging and the C++ engine's build read it here."""

__version__ = "0.1.0"
