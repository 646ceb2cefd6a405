"""Notes that callers log with an Idempotency-Key each, and what became of every one of them at HubSpot's double."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from drills.caller import Account
from drills.damage import Damage
from drills.stage import Stage

CONTACTS: Final = 10
"""Contacts among whom the notes are spread: callers of one contact meet each other, as in a busy conversation."""
IMPATIENT: Final = 0.3
"""Share of the callers who do not wait: they get 202 and ask for the operation."""


@dataclass
class Sent:
    """One note as its caller saw it."""

    text: str
    key: str
    ends: list[str] = field(default_factory=list)
    """How each try ended: a status, or what the connection died of."""
    operations: set[str] = field(default_factory=set)
    """Ids of the operations that the tries were answered with; one caller must meet one."""
    failure: str = ""


class Notes:
    """Callers of one account who log notes and insist on each until it is answered for good."""

    def __init__(self, stage: Stage, account: Account, rng: random.Random) -> None:
        """`account` logs nothing else."""
        self.stage = stage
        self.account = account
        self.rng = rng
        self.sent: list[Sent] = []
        self.waiting = 0
        """Requests that wait for their answer just now."""
        self._contacts: list[int] = []

    async def open(self) -> None:
        """Connect HubSpot, and make the contacts."""
        self.stage.unlimited("hubspot")
        await self.account.connect("hubspot")
        self._contacts = [self.stage.contact(self.account, "hubspot") for _ in range(CONTACTS)]

    async def log(self) -> None:
        """Log one note, as a caller who repeats the request with its key until it is answered."""
        number = len(self.sent)
        note = Sent(f"note {number} of account {self.account.id}.", f"note-{self.account.id}-{number}")
        self.sent.append(note)
        path = f"/hubspot/contacts/{self.rng.choice(self._contacts)}/activity"
        prefer = {"Prefer": "respond-async"} if self.rng.random() < IMPATIENT else {}
        self.waiting += 1
        try:
            answer, note.ends = await self.account.insist(
                "POST", path, headers={"Idempotency-Key": note.key, **prefer}, json={"content": note.text}
            )
            note.ends.append(str(answer.status_code))
            # The same request once more: whatever happened before, it is the same operation.
            again, _ = await self.account.insist(
                "POST", path, headers={"Idempotency-Key": note.key}, json={"content": note.text}
            )
            note.operations = {str(a.json().get("operation_id", a.text[:200])) for a in (answer, again)}
            if {answer.status_code, again.status_code} - {200, 202}:
                note.failure = f"{answer.status_code}, then {again.status_code} {again.text[:200]}"
            elif again.status_code == 202:
                ended = await self.account.ended(again)
                note.failure = "" if ended["status"] == "succeeded" else str(ended)[:300]
        except TimeoutError as error:
            note.failure = str(error)
        finally:
            self.waiting -= 1

    async def judged(self) -> Damage:
        """What was lost (no note, or its caller was told so) and doubled (more notes or operations than one a key)."""
        records = await asyncio.to_thread(self.stage.records, "hubspot", "notes")
        bodies = [str(r["properties"].get("hs_note_body", "")) for r in records]
        there = Counter(next((s.text for s in self.sent if s.text in body), "") for body in bodies)
        rows = await asyncio.to_thread(
            self.stage.rows,
            "select status, count(*) from operations where account_id = %s and kind = 'activity' group by 1",
            self.account.id,
        )
        damage = Damage()
        for note in self.sent:
            damage.add(f"note {note.key}", int(not there[note.text]), max(0, there[note.text] - 1))
            if note.failure:
                damage.add(f"caller of {note.key} ({note.failure})", 1, 0)
            damage.add(f"operations of {note.key}", 0, max(0, len(note.operations) - 1))
        made = dict(rows)
        damage.add("rows of operations", 0, max(0, sum(made.values()) - len(self.sent)))
        damage.add("operations that are not closed", len(self.sent) - made.get("succeeded", 0), 0)
        return damage

    def ends(self) -> Counter[str]:
        """How many tries of all callers ended how."""
        return Counter(end for note in self.sent for end in note.ends)
