"""What development stands on: the embedded stack (PostgreSQL, Temporal, our own processes) and the command line."""
