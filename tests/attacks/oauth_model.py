"""Who may end up connected to whom: a plain model of RFC 9700's rules for the client, and what the service answers.

It knows nothing of rows, workflows or hashes: attempts, codes, and who holds what.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

BINDS = {"hubspot": "pkce", "pipedrive": "", "shopify": "signature"}
"""What ties a code to the attempt that it was made for, beside its state."""


@dataclass
class Attempt:
    """One `connect`."""

    number: int
    tenant: int
    actor: int
    provider: str
    replace: bool
    own_verifier: bool
    shop: str = ""
    """The person whose shop the attempt is pinned to, where the provider has one."""
    status: str = "open"
    """`open`, `expired`, `void`, or `used`."""
    code: int | None = None
    """The code that it was used with."""
    outcome: str = ""


@dataclass
class Code:
    """One consent: whose account at the provider, and in which attempt."""

    number: int
    attempt: Attempt
    person: str
    redeemed: bool = False


@dataclass(frozen=True)
class Sent:
    """A callback. `state` is an attempt's number, `forged` or `missing`; `verifier` is `none`, `right` or `wrong`.

    `right` is the verifier of the attempt that the state names, else of the one that the code was made in.
    """

    tenant: int
    actor: int
    provider: str
    code: Code
    state: int | str
    verifier: str
    verifier_of: Attempt | None
    issuer: str
    signed: bool
    """All that came is sent as it came: for a signature to hold, state and issuer have to be untouched."""


@dataclass
class Connection:
    """What stands: whose account, and by which attempt and code."""

    person: str
    attempt: Attempt
    code: Code


@dataclass
class Model:
    """All attempts, codes and connections of one sequence."""

    strict: bool
    attempts: list[Attempt] = field(default_factory=list)
    codes: list[Code] = field(default_factory=list)
    connections: dict[tuple[int, str], Connection] = field(default_factory=dict)

    def found(self, sent: Sent) -> Attempt | None:
        """The attempt that a callback is for: its caller's, of its provider, and alive (or used, to answer again)."""
        own = [
            a
            for a in self.attempts
            if (a.tenant, a.actor, a.provider) == (sent.tenant, sent.actor, sent.provider) and a.status != "expired"
        ]
        if isinstance(sent.state, int):
            return next((a for a in own if a.number == sent.state), None)
        if sent.state == "forged" or self.strict:
            return None
        if sent.verifier == "right" and sent.verifier_of in own and sent.verifier_of and sent.provider != "pipedrive":
            return sent.verifier_of
        live = [a for a in own if a.status == "open"]
        if live:
            return live[0] if len(live) == 1 else None
        return next((a for a in reversed(own) if a.status != "void"), None)

    def callback(self, sent: Sent) -> str:
        """What is answered (`connected`, `refused`, `other_account`), with what follows from it."""
        attempt = self.found(sent)
        if attempt is None or attempt.status == "void":
            return "refused"
        if attempt.status == "used":
            return attempt.outcome if attempt.code == sent.code.number else "refused"
        if BINDS[attempt.provider] == "pkce" and not self._proves(attempt, sent):
            return "refused"
        attempt.status, attempt.code = "used", sent.code.number
        attempt.outcome = self._exchanged(attempt, sent)
        return attempt.outcome

    @staticmethod
    def _proves(attempt: Attempt, sent: Sent) -> bool:
        """The verifier of this attempt: its caller's, or the one that the service keeps."""
        if sent.verifier == "none":
            return not attempt.own_verifier
        return sent.verifier == "right" and attempt.own_verifier and sent.verifier_of is attempt

    def _exchanged(self, attempt: Attempt, sent: Sent) -> str:
        if sent.issuer == "other":
            return "refused"
        if BINDS[attempt.provider] == "signature" and (not sent.signed or sent.code.attempt.shop != attempt.shop):
            return "refused"
        if sent.code.redeemed or sent.code.attempt.provider != attempt.provider:
            return "refused"
        if BINDS[attempt.provider] == "pkce" and sent.code.attempt is not attempt:
            return "refused"
        sent.code.redeemed = True
        place = (attempt.tenant, attempt.provider)
        standing = self.connections.get(place)
        by_state = isinstance(sent.state, int)
        if standing and standing.person != sent.code.person and not (attempt.replace and by_state):
            return "other_account"
        self.connections[place] = Connection(sent.code.person, attempt, sent.code)
        for other in self.attempts:
            if (other.tenant, other.provider) == place and other.status in ("open", "expired"):
                other.status = "void"
        return "connected"


def unlawful(model: Model, before: Mapping[tuple[int, str], Connection]) -> list[str]:
    """Rules of RFC 9700 that the connections break, said without the steps above: none may be broken, ever."""
    found = []
    for place, now in model.connections.items():
        attempt, code, old = now.attempt, now.code, before.get(place)
        if (attempt.tenant, attempt.provider) != place:
            found.append(f"{place}: by an attempt of {attempt.tenant} at {attempt.provider}")
        if code.person != now.person or code.attempt.provider != attempt.provider:
            found.append(f"{place}: nobody agreed to that")
        if BINDS[attempt.provider] == "pkce" and code.attempt is not attempt:
            found.append(f"{place}: code injection past PKCE")
        if BINDS[attempt.provider] == "signature" and code.attempt.shop != attempt.shop:
            found.append(f"{place}: another shop than the one that was named")
        if model.strict and BINDS[attempt.provider] and code.attempt.tenant != attempt.tenant:
            found.append(f"{place}: another tenant's code")
        if old and old is not now and old.person != now.person and not attempt.replace:
            found.append(f"{place}: replaced without being told to")
    used = [now.code.number for now in model.connections.values()]
    if len(used) != len(set(used)):
        found.append("one code made two connections")
    return found
