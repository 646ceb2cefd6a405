"""One request as a trace, and what tracing costs.

- `python -m bench.trace` prints a lookup and a note from the HTTP request down to the provider's calls.
- `python -m bench.trace --cost 300` measures as many lookups on a stack that sends traces, and on one that does not,
  in turns, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

import httpx

from bench import service
from bench.api import TURN, WARM_UP, timed
from bench.figures import percentile, say
from bench.spans import receiving, tree


async def ask(stack: dict[str, Any]) -> None:
    """Connect HubSpot, look a contact up, and write a note."""
    root, headers = service.root(stack), {"api_access_token": stack["admin_token"]}
    async with httpx.AsyncClient(headers=headers, timeout=60) as api:
        await ready(api, stack)
        for _ in range(3):  # the first ones also open connections and start the workflow's cache
            (await api.get(f"{root}/hubspot/contacts/1")).raise_for_status()
        note = {"content": "Asked about invoices"}
        (await api.post(f"{root}/hubspot/contacts/1/activity", json=note)).raise_for_status()


async def ready(api: httpx.AsyncClient, stack: dict[str, Any]) -> None:
    """People at the doubles, and HubSpot connected without a rate limit of its own."""
    await api.post(f"{stack['sandbox_url']}/_sandbox/demo")
    await api.post(f"{stack['sandbox_url']}/_sandbox/hubspot/settings", json={"rate_limits": False})
    await service.connect(api, service.root(stack), "hubspot")


async def compare(traced: dict[str, Any], plain: dict[str, Any], n: int) -> None:
    """Lookups on both stacks in turns; prints their ratio."""
    times: dict[str, list[float]] = {"traced": [], "plain": []}
    async with httpx.AsyncClient(timeout=60) as api:

        async def turn(stack: dict[str, Any], count: int) -> list[float]:
            url, headers = f"{service.root(stack)}/hubspot/contacts/1", {"api_access_token": stack["admin_token"]}

            async def lookup(_: int) -> None:
                (await api.get(url, headers=headers)).raise_for_status()

            return (await timed(count, lookup))[0]

        for stack in (traced, plain):
            api.headers["api_access_token"] = stack["admin_token"]
            await ready(api, stack)
            await turn(stack, WARM_UP)
        for _ in range(max(1, n // TURN)):
            times["traced"] += await turn(traced, TURN)
            times["plain"] += await turn(plain, TURN)
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        on, off = (percentile(times[side], share) for side in ("traced", "plain"))
        say(f"lookup_traced_{name}", on, "ms", against=f"lookup_untraced_{name}", base=off, n=len(times["plain"]))


def main() -> None:
    """Start what is needed, ask it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cost", type=int, default=0, metavar="N", help="lookups a side")
    given = parser.parse_args()
    os.environ["SUPPORTLY_RATE_FACTOR"] = "1000"
    with receiving() as receiver:
        os.environ.update(receiver.environment())
        with service.running() as traced:
            if not given.cost:
                asyncio.run(ask(traced))
                for root in ("GET /api/v1/accounts/{account_id}", "/activity"):
                    print(tree(receiver.trace(root=root)), end="\n\n")
                return
            for name in receiver.environment():
                del os.environ[name]
            with service.running() as plain:
                asyncio.run(compare(traced, plain, given.cost))


if __name__ == "__main__":
    main()
