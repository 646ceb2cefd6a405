"""Supportly Integrations: what the API, the workflows and the activities stand on."""
