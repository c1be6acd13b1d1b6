"""Where the time goes: by part of the model, from the profiler of each runtime."""
