"""A bundle behind a server: the pool of waiting texts, Triton, OpenAI's API, deployment files."""
