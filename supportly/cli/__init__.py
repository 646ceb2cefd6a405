"""The command line `supportly`: verbs for callers go through the API, verbs for operators to database and Temporal."""
