"""A mix of requests as callers send it: what is asked, how it was answered, and what it must have left."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from bench.figures import percentile
from drills.caller import Account
from drills.stage import Stage

MIX: Final = {"lookup": 45, "action": 15, "search": 15, "note": 15, "create": 5, "status": 5}
"""Of a hundred requests. A fifth writes."""
PROVIDERS: Final = ("hubspot", "zendesk")
KNOWN: Final = 40
"""Contacts of an account that its providers know."""
QUESTIONS: Final = ("reset password", "change an invoice", "delivery is late", "add an agent", "refund")
FIRST_NEW: Final = 950_000
"""Contacts in Supportly that no provider knows yet."""
WRITES: Final = ("note", "create")


@dataclass
class Sent:
    """A write: the word by which its record is known, and whether it was accepted; None while nobody has said."""

    kind: str
    provider: str
    word: str
    accepted: bool | None = None
    told: str = ""


@dataclass
class Traffic:
    """Sends requests of the mix for a few accounts, and remembers what came of them."""

    stage: Stage
    accounts: list[Account]
    contacts: dict[int, dict[str, list[int]]]
    """Known contacts by account and provider."""
    rng: random.Random
    new: Iterator[int]
    first: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How the first try of each kind was answered: `ok`, a status, or the name of a broken connection."""
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Milliseconds of first tries that were answered."""
    whole: list[float] = field(default_factory=list)
    """Milliseconds until the caller had its answer, its further tries included."""
    gave_up: list[str] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    usual: dict[tuple[str, str], int] = field(default_factory=dict)
    """Records of a provider that name the word of an undisturbed write, by kind and provider."""

    async def one(self) -> None:
        """One request, tried until it is answered for good."""
        [kind] = self.rng.choices(list(MIX), list(MIX.values()))
        await self._one(kind, self.rng.choice(PROVIDERS))

    async def learn(self) -> None:
        """Make every kind of write once in peace, and count what it leaves."""
        for kind in WRITES:
            for provider in PROVIDERS:
                await self._one(kind, provider)
                write = self.sent[-1]
                assert write.accepted, f"{kind} at {provider}, undisturbed: {write.told}"
                self.usual[kind, provider] = _naming(await self._records(provider), write.word)

    async def _one(self, kind: str, provider: str) -> None:
        account = self.rng.choice(self.accounts)
        method, path, extra = await self._asked(kind, account, provider)
        write = None
        if kind in WRITES:
            write = Sent(kind, provider, extra["headers"]["Idempotency-Key"])
            self.sent.append(write)
        began = time.perf_counter()
        try:
            answer = await self._tried(kind, account, method, path, extra)
            if write:
                await self._follow(account, write, answer)
        except TimeoutError as error:
            self.gave_up.append(f"{kind}: {error}")
        self.whole.append((time.perf_counter() - began) * 1e3)

    async def _asked(self, kind: str, account: Account, provider: str) -> tuple[str, str, dict[str, Any]]:
        contact = self.rng.choice(self.contacts[account.id][provider])
        word = f"m{self.rng.getrandbits(48):012x}"
        key = {"headers": {"Idempotency-Key": word}}
        match kind:
            case "lookup":
                return "GET", f"/{provider}/contacts/{contact}", {}
            case "action":
                body = {"action": "search_contacts", "params": {"query": f"robin-{contact}"}}
                return "POST", f"/{provider}/action", {"json": body}
            case "search":
                return "GET", "/knowledge/search", {"params": {"q": self.rng.choice(QUESTIONS)}}
            case "note":
                body = {"content": f"Spoke about {word}."}
                return "POST", f"/{provider}/contacts/{contact}/activity", {"json": body, **key}
            case "create":
                number = next(self.new)
                record = {"id": number, "account_id": account.id, "name": "Robin New", "email": f"{word}@example.com"}
                people = {"contacts": [record]}
                await asyncio.to_thread(self.stage.control, "POST", "/supportly/seed", json=people)
                return "POST", f"/{provider}/contacts/{number}/sync", key
        return "GET", "/knowledge/status", {}

    async def _tried(
        self, kind: str, account: Account, method: str, path: str, extra: dict[str, Any]
    ) -> httpx.Response:
        """The answer; the first try is counted. Raises TimeoutError."""
        began = time.perf_counter()
        try:
            answer = await account.call(method, path, **extra)
        except httpx.TransportError as error:
            self.first[kind][type(error).__name__] += 1
        else:
            self.took[kind].append((time.perf_counter() - began) * 1e3)
            if answer.status_code in (200, 202):
                self.first[kind]["ok"] += 1
                return answer
            self.first[kind][str(answer.status_code)] += 1
            await asyncio.sleep(float(answer.headers.get("retry-after", 0)))
        return (await account.insist(method, path, **extra))[0]

    async def _follow(self, account: Account, write: Sent, answer: httpx.Response) -> None:
        """What became of a write."""
        if answer.status_code == 202:
            ended = await account.ended(answer)
            write.accepted = ended["status"] == "succeeded"
            write.told = str((ended.get("error") or {}).get("code", ""))
        else:
            write.accepted = answer.status_code == 200
            write.told = "" if write.accepted else str(answer.json().get("code"))

    async def count(self) -> tuple[list[str], list[str]]:
        """Writes that are lost (accepted and not there, or refused and there), and those that are there twice."""
        lost: list[str] = []
        doubled: list[str] = []
        for provider in PROVIDERS:
            records = await self._records(provider)
            for write in self.sent:
                if write.provider != provider:
                    continue
                there = _naming(records, write.word)
                if there > self.usual[write.kind, provider]:
                    doubled.append(f"{provider} holds {write.word} {there} times")
                if write.accepted and not there:
                    lost.append(f"{provider} does not hold {write.word}, which was accepted")
                if write.accepted is False and there and write.told != "outcome_unknown":
                    lost.append(f"{provider} holds {write.word}, and its caller was told {write.told}")
        return lost, doubled

    async def _records(self, provider: str) -> list[str]:
        url = f"{self.stage.stack.sandbox_url}/_sandbox/{provider}/records"
        return [str(record) for record in (await self.stage.http.get(url)).raise_for_status().json()]

    def facts(self) -> dict[str, Any]:
        """Error rates by kind, and latencies."""
        every = [ms for times in self.took.values() for ms in times]
        return {
            "requests": sum(c.total() for c in self.first.values()),
            "failed_first_try_by_kind": {k: round(1 - c["ok"] / c.total(), 4) for k, c in self.first.items()},
            "first_try_by_answer": dict(sum(self.first.values(), Counter())),
            "gave_up": len(self.gave_up),
            "writes": len(self.sent),
            "outcome_unknown": sum(write.told == "outcome_unknown" for write in self.sent),
            "p50_ms": round(percentile(every, 0.5), 1),
            "p95_ms": round(percentile(every, 0.95), 1),
            "with_further_tries_p50_ms": round(percentile(self.whole, 0.5), 1),
            "with_further_tries_p95_ms": round(percentile(self.whole, 0.95), 1),
        }


def _naming(records: list[str], word: str) -> int:
    """How many records name a word."""
    return sum(word in record for record in records)
