"""Measure how fast a bundle is, side by side with alternatives."""
