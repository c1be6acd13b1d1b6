"""Side-by-side timing, correctness first."""
