"""A typed client of the API: `Account` says what to ask, `Client` and `AsyncClient` ask it.

    me = Account(1)
    with Client("https://integrations.example.com", token) as client:
        found = client.send(me.search("how do I reset my password"))
        synced = client.send(me.sync_contact("hubspot", 42).keyed("sync-42"))

An error answer is raised as the service's own exception (`supportly.errors`), with `own_code`, `status`, `details`,
`retry_after` and `request_id`.
"""

from supportly.client.account import Account, Service
from supportly.client.asking import Ask
from supportly.client.clients import AsyncClient, Client, StillRunning

__all__ = ["Account", "Ask", "AsyncClient", "Client", "Service", "StillRunning"]
