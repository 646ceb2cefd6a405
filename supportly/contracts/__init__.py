"""Messages that cross Temporal and HTTP. No I/O, no clock, no randomness."""
