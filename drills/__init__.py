"""Breaking the real stack on purpose, and counting what was lost: `python -m drills`, or `make drills`."""
