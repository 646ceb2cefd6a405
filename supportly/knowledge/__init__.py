"""Documents to text, to chunks, to vectors, and the ranking of what is found. Pure functions: no I/O, no database."""
