"""The memory step: one memory at a time into a fast and a slow state; see README.md in this folder."""
