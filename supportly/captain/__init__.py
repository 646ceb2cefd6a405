"""What Captain, Supportly's AI, may use: tools over the Model Context Protocol, in front of the API."""
