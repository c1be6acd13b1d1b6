"""Is a change worth keeping? Side-by-side speed, the verdict, the history."""
