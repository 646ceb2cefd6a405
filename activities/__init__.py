"""Activities: everything that workflows may not do themselves. Clients are injected by `worker.py`."""
