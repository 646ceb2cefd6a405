"""Supportly Integrations: what the API, the workflows and the activities stand on."""

VERSION = "0.1.0"
"""The one place of it: the package's metadata, `/healthz`, traces and metrics take it from here."""
