"""What the service adds to a lookup: `python -m bench.api [--n 300]`.

Measured in one run on one stack: `GET …/contacts/{id}` over HTTP against the double without delay, and a trivial
workflow with one activity on the same Temporal server, called straight by its client from a worker of its own. The two
take turns, so that both meet the same machine. A sandbox's own time is part of the lookup's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from temporalio.client import Client
from temporalio.worker import Worker

from bench.figures import percentile, say
from bench.trivial import Trivial, nothing

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


async def connect_hubspot(api: httpx.AsyncClient, root: str) -> None:
    """Connect HubSpot through the sandbox's consent page."""
    started = (await api.post(f"{root}/hubspot/connect", json={})).raise_for_status().json()
    consent = await api.get(started["authorization_url"])
    returned = dict(httpx.URL(consent.headers["location"]).params)
    (await api.post(f"{root}/hubspot/callback", json=returned)).raise_for_status()


async def measure(stack: dict[str, Any], n: int) -> None:
    """Run both sides and print the figures."""
    root = f"{stack['api_url']}/api/v1/accounts/{stack['account_id']}/supportly_integrations"
    limits = httpx.Limits(max_connections=CALLERS * 2)
    headers = {"api_access_token": stack["admin_token"]}
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as api:
        await api.post(f"{stack['sandbox_url']}/_sandbox/demo")
        # The double's own rate limit would decide the figure, not the service.
        await api.post(f"{stack['sandbox_url']}/_sandbox/hubspot/settings", json={"rate_limits": False})
        await connect_hubspot(api, root)

        async def lookup(_: int) -> None:
            (await api.get(f"{root}/hubspot/contacts/1")).raise_for_status()

        async def lookup_any(number: int) -> None:
            (await api.get(f"{root}/hubspot/contacts/{number % 5 + 1}")).raise_for_status()

        client = await Client.connect(stack["temporal_address"], namespace=stack["temporal_namespace"])

        async def trivial(number: int) -> None:
            await client.execute_workflow(Trivial.run, number, id=f"bench-{uuid.uuid4()}", task_queue=QUEUE)

        async with Worker(client, task_queue=QUEUE, workflows=[Trivial], activities=[nothing]):
            await timed(WARM_UP, lookup)
            await timed(WARM_UP, trivial)
            ours: list[float] = []
            base: list[float] = []
            for _ in range(max(1, n // TURN)):
                ours += (await timed(TURN, lookup))[0]
                base += (await timed(TURN, trivial))[0]
            for name, share in (("p50", 0.5), ("p95", 0.95)):
                mine, theirs = percentile(ours, share), percentile(base, share)
                say(f"lookup_{name}", mine, "ms", against=f"trivial_workflow_{name}", base=theirs, n=len(ours))
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
    from supportly.dev.console import Report
    from supportly.dev.stack import Stack

    os.environ.setdefault("SUPPORTLY_LOG_LEVEL", "WARNING")
    # HubSpot allows eleven calls a second; with that the figure would be HubSpot's, not ours.
    os.environ["SUPPORTLY_RATE_FACTOR"] = "1000"
    with tempfile.TemporaryDirectory(prefix="spl-bench-") as directory:
        Path(directory).chmod(0o755)
        stack = Stack(Path(directory), report=Report(out=sys.stderr))
        stack.start()
        try:
            asyncio.run(measure(json.loads(stack.file.read_text()), given.n))
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
