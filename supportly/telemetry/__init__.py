"""What operators see of the running service: metrics, traces, and ids that join log lines. Nothing decides by it."""
