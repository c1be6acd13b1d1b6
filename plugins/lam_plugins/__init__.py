"""LAM's operators. Each folder holds all implementations of one operator."""
