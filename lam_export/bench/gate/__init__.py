"""Decide whether a change is worth keeping: speed side by side, the verdict, the history."""
