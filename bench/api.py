"""What the service adds to a lookup: `python -m bench.api [--n 300]`.

Three sides take turns on one stack, so that all meet the same machine:

- `lookup`: `GET …/hubspot/contacts/1` over HTTP, the double answering without delay;
- `direct`: the same requests to the doubles (Supportly's contact, then HubSpot's record, deals, notes and companies) by
  the same provider code, without API, workflow, database or budget;
- `trivial`: a workflow with one activity on the same Temporal server, called by its client, with a worker of its own.

`lookup_added` is what the service adds: lookup less direct, percentile by percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client
from temporalio.worker import Worker

from bench import service
from bench.figures import percentile, say
from bench.trivial import Trivial, nothing
from supportly import providers
from supportly.http import Http, Outbound, browser_url
from supportly.oauth import Client as OAuthClient
from supportly.oauth import Engine, authorization_url, challenge, new_state, new_verifier
from supportly.platform import Platform
from supportly.provider import Call, FindsContacts

QUEUE = "bench-trivial"
WARM_UP = 30
TURN = 25
CALLERS = 20


async def timed(n: int, call: Callable[[int], Awaitable[Any]], at_once: int = 1) -> tuple[list[float], float]:
    """Milliseconds of `n` calls, `at_once` at a time, and calls a second."""
    times: list[float] = []
    numbers = iter(range(n))

    async def caller() -> None:
        for number in numbers:
            began = time.perf_counter()
            await call(number)
            times.append((time.perf_counter() - began) * 1e3)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    return times, n / (time.perf_counter() - began)


async def direct_lookup(api: httpx.AsyncClient, stack: dict[str, Any]) -> Callable[[int], Awaitable[None]]:
    """The lookup's own requests, sent by the same code without the service around it."""
    provider = providers.get("hubspot")
    assert isinstance(provider, FindsContacts)
    outbound = Outbound(timeout_s=10, max_bytes=10_000_000, sandbox_url=stack["sandbox_url"])
    redirect, state, verifier = "https://bench.invalid/callback", new_state(), new_verifier()
    client = OAuthClient("sandbox-hubspot-client", "sandbox-hubspot-secret")
    authorize, token_url = provider.urls({})
    url = authorization_url(
        provider.oauth,
        authorize,
        client_id=client.id,
        redirect_uri=redirect,
        state=state,
        code_challenge=challenge(verifier) if provider.oauth.pkce else None,
    )
    consent = await api.get(browser_url(url, stack["sandbox_url"]))
    tokens = await Engine(outbound).exchange(
        provider.oauth,
        client,
        token_url=token_url,
        code=httpx.URL(consent.headers["location"]).params["code"],
        redirect_uri=redirect,
        verifier=verifier if provider.oauth.pkce else None,
        now=datetime.now(UTC),
    )
    platform = Platform(outbound, f"{stack['sandbox_url']}/_supportly/api/v1", "sandbox-supportly-token")

    async def lookup(_: int) -> None:
        contact = await platform.contact(stack["account_id"], 1)
        http = Http(outbound=outbound, policy=provider, access_token=tokens.access_token, facts=dict(tokens.facts))
        call = Call(http, provider.settings())
        for record in await provider.find(call, contact, None):
            await asyncio.gather(*provider.parts(call, record).values())

    return lookup


async def measure(stack: dict[str, Any], n: int) -> None:
    """Run both sides and print the figures."""
    root = service.root(stack)
    limits = httpx.Limits(max_connections=CALLERS * 2)
    headers = {"api_access_token": stack["admin_token"]}
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as api:
        await api.post(f"{stack['sandbox_url']}/_sandbox/demo")
        # The double's own rate limit would decide the figure, not the service.
        await api.post(f"{stack['sandbox_url']}/_sandbox/hubspot/settings", json={"rate_limits": False})
        await service.connect(api, root, "hubspot")

        async def lookup(_: int) -> None:
            (await api.get(f"{root}/hubspot/contacts/1")).raise_for_status()

        async def lookup_any(number: int) -> None:
            (await api.get(f"{root}/hubspot/contacts/{number % 5 + 1}")).raise_for_status()

        direct = await direct_lookup(api, stack)
        client = await Client.connect(stack["temporal_address"], namespace=stack["temporal_namespace"])

        async def trivial(number: int) -> None:
            await client.execute_workflow(Trivial.run, number, id=f"bench-{uuid.uuid4()}", task_queue=QUEUE)

        async with Worker(client, task_queue=QUEUE, workflows=[Trivial], activities=[nothing]):
            await timed(WARM_UP, lookup)
            await timed(WARM_UP, trivial)
            await timed(WARM_UP, direct)
            ours: list[float] = []
            base: list[float] = []
            without: list[float] = []
            for _ in range(max(1, n // TURN)):
                ours += (await timed(TURN, lookup))[0]
                base += (await timed(TURN, trivial))[0]
                without += (await timed(TURN, direct))[0]
            for name, share in (("p50", 0.5), ("p95", 0.95)):
                whole, theirs, bare = (percentile(side, share) for side in (ours, base, without))
                for side, took in (("lookup", whole), ("lookup_direct", bare), ("lookup_added", whole - bare)):
                    say(f"{side}_{name}", took, "ms", against=f"trivial_workflow_{name}", base=theirs, n=len(ours))
            _, many = await timed(n, lookup_any, CALLERS)
            _, many_base = await timed(n, trivial, CALLERS)
            say("lookup_throughput_20_callers", many, "1/s", against="trivial_workflow", base=many_base, n=n)


def main() -> None:
    """Start a stack of its own, measure, stop it; or measure the one named by --stack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="calls a side")
    parser.add_argument("--stack", type=Path, help="stack.json of a running stack")
    given = parser.parse_args()
    if given.stack:
        asyncio.run(measure(json.loads(given.stack.read_text()), given.n))
        return
    # HubSpot allows eleven calls a second; with that the figure would be HubSpot's, not ours.
    os.environ["SUPPORTLY_RATE_FACTOR"] = "1000"
    with service.running() as stack:
        asyncio.run(measure(stack, given.n))


if __name__ == "__main__":
    main()
