"""Time subjects side by side, after checking that their embeddings are right."""
