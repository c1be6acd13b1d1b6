"""What each command does, as a Python function with typed options."""
