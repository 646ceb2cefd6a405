"""Doubles of the outside world: providers over HTTP, and Supportly's own contact API."""
