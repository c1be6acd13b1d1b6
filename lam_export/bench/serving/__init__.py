"""Load on a served model: every answer compared with the engine's own, then latency and throughput."""
