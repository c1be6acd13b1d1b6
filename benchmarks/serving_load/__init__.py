"""Load on a served model. Every answer is compared with the engine's own; then come latency and throughput."""
