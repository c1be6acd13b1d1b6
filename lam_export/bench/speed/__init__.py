"""How fast a bundle is, beside what one would run instead."""
