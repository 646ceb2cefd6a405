"""Generated sequences of OAuth attempts by two tenants, three administrators, and three people at three providers.

Every callback is answered as `oauth_model.Model` says, and after each step exactly those provider accounts are
connected that it allows. Codes, states and verifiers are mixed freely: swapped between attempts, tabs, actors, tenants
and providers, forged, left out, sent again, or late.
"""

import hashlib
import itertools
import secrets
import time
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, text

from tests.attacks.consent import PEOPLE, agree, belongs, host_part, iss
from tests.attacks.oauth_model import BINDS, Attempt, Code, Model, Sent, unlawful
from tests.attacks.people import Caller, Register
from tests.attacks.test_callback import challenge

SEED = 9700
SEQUENCES = (1000, 100)
STEPS = 12
MODES = ("compatible", "strict")
"""Each plays half of the sequences."""
KINDS = (
    *("honest",) * 4,
    *("no_state",) * 3,
    *("tab",) * 3,
    *("plant",) * 2,
    *("start", "agree", "other_state", "forged", "stolen_code", "other_caller", "other_provider", "again", "expire"),
    "disconnect",
)
"""Steps, as often as each shall be."""
PROVIDERS = ("hubspot", "hubspot", "pipedrive", "shopify")
ACTORS = ((0, 0), (0, 0), (0, 1), (1, 0))
"""(tenant, actor); the first one most often, so that there is something to steal and to mix up."""
_accounts = itertools.count(4_000_000, 2)

VERIFIERS = ("fitting",) * 4 + ("none", "wrong", "others")
ISSUERS = ("none",) * 6 + ("own", "other")


@dataclass
class Held:
    """What attackers hold of an attempt."""

    state: str
    url: str
    verifier: str


@dataclass(frozen=True)
class Aim:
    """Where a callback goes: whose it is, and which state it carries (`missing`, `forged`, or an attempt's number)."""

    who: tuple[int, int]
    provider: str
    state: int | str


class Attempts(RuleBasedStateMachine):
    """One sequence, played over HTTP."""

    register: ClassVar[Register]
    api: ClassVar[httpx.Client]
    sandbox: ClassVar[Any]
    owner: ClassVar[Engine]
    strict: ClassVar[bool]
    met: ClassVar[Counter]
    played: ClassVar[int]

    # What hypothesis draws itself it draws again and again; one source of chance for a sequence makes it more varied.
    @initialize(chance=st.randoms(use_true_random=True))
    def begin(self, chance):
        self.chance: Random = chance
        type(self).played += 1
        first = next(_accounts)
        accounts = {(0, 0): first, (0, 1): first, (1, 0): first + 1}
        tokens = self.register.tokens(*((account, "administrator") for account in accounts.values()))
        self.callers = {
            who: Caller(self.api, account, token)
            for (who, account), token in zip(accounts.items(), tokens, strict=True)
        }
        self.model = Model(self.strict)
        self.before = {}
        self.held: list[Held] = []
        self.came: list[dict[str, str]] = []
        self.sent: list[tuple[Sent, dict[str, str]]] = []
        self.connect(chance.choice(ACTORS), chance.choice(PROVIDERS), replace=False)

    @property
    def attempts(self) -> list[Attempt]:
        return self.model.attempts

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule()
    def step(self):
        getattr(self, self.chance.choice(KINDS))()

    def start(self):
        self.connect(self.chance.choice(ACTORS), self.chance.choice(PROVIDERS), replace=self.chance.random() < 0.5)

    def tab(self):
        """Who was there before opens another tab at the same provider, perhaps for another account there."""
        before = self.chance.choice(self.attempts[-3:])
        self.connect((before.tenant, before.actor), before.provider, replace=self.chance.random() < 0.5)

    def plant(self):
        """Where something may be connected, another attempt that may replace it, and its code comes back at once."""
        before = self.chance.choice(self.attempts[-3:])
        self.connect((before.tenant, before.actor), before.provider, replace=True)
        code = self.model.codes[-1]
        own = Aim((code.attempt.tenant, code.attempt.actor), code.attempt.provider, code.attempt.number)
        self.callback(
            "planted", code, replace(own, state=self.chance.choice(("missing", own.state))), verifier="fitting"
        )

    def agree(self):
        self.agreed(self.chance.choice(self.attempts))

    def honest(self):
        self.callback("honest", *self.drawn(), verifier="fitting")

    def other_state(self):
        code, own = self.drawn()
        self.callback("other_state", code, replace(own, state=self.chance.choice(self.attempts).number))

    def no_state(self):
        code, own = self.drawn()
        self.callback("no_state", code, replace(own, state="missing"), verifier=self.chance.choice(("fitting", "")))

    def forged(self):
        code, own = self.drawn()
        self.callback("forged", code, replace(own, state="forged"))

    def stolen_code(self):
        """In an attempt of the thief's own, at the same provider."""
        code, own = self.drawn()
        if thieves := [a for a in self.attempts if a.provider == own.provider and a is not code.attempt]:
            thief = self.chance.choice(thieves)
            aim = Aim((thief.tenant, thief.actor), thief.provider, thief.number)
            self.callback("stolen_code", code, aim, verifier=self.chance.choice(("fitting", "")))

    def other_caller(self):
        code, own = self.drawn()
        state = self.chance.choice(("missing", own.state))
        self.callback("other_caller", code, replace(own, who=self.chance.choice(ACTORS), state=state))

    def other_provider(self):
        code, own = self.drawn()
        provider = self.chance.choice([p for p in BINDS if p != own.provider])
        state = self.chance.choice(("missing", own.state))
        self.callback("other_provider", code, replace(own, provider=provider, state=state))

    def again(self):
        if self.sent:
            self.answered("again", *self.chance.choice(self.sent))

    def expire(self):
        attempt = self.chance.choice(self.attempts)
        late = "update pending_authorizations set expires_at = now() - interval '1 second' where state_hash = :hash"
        with self.owner.begin() as c:
            c.execute(text(late), {"hash": hashlib.sha256(self.held[attempt.number].state.encode()).hexdigest()})
        if attempt.status == "open":
            attempt.status = "expired"
            self.met["expired"] += 1

    def disconnect(self):
        if self.model.connections:
            tenant, provider = self.chance.choice(sorted(self.model.connections))
            answer = self.callers[tenant, 0].call("DELETE", f"/{provider}/disconnect")
            assert answer.status_code == 200, answer.text
            del self.model.connections[tenant, provider]
            self.met["disconnected"] += 1

    # --- how it is sent and compared ----------------------------------------------------------------------------------

    def drawn(self) -> tuple[Code, Aim]:
        """A code, a new one as often as an old one, and where its own attempt would take it."""
        codes = self.model.codes
        code = self.chance.choice(codes[-2:] if self.chance.random() < 0.5 else codes)
        attempt = code.attempt
        return code, Aim((attempt.tenant, attempt.actor), attempt.provider, attempt.number)

    def connect(self, who: tuple[int, int], provider: str, *, replace: bool) -> None:
        """Somebody connects, and mostly somebody agrees at once."""
        person, own_verifier = self.chance.choice(PEOPLE), self.chance.random() < 0.3
        verifier = secrets.token_urlsafe(48)
        body = {"code_challenge": challenge(verifier)} if own_verifier else {}
        shop = host_part(provider, person)
        started = self.callers[who].start(provider, replace=replace, **shop, **body)
        attempt = Attempt(len(self.attempts), *who, provider, replace, own_verifier, person if shop else "")
        self.attempts.append(attempt)
        self.held.append(Held(started["state"], started["authorization_url"], verifier))
        if not self.model.codes or self.chance.random() < 0.8:
            self.agreed(attempt)

    def agreed(self, attempt: Attempt) -> None:
        """Somebody agrees in an attempt; at Shopify whoever owns the shop that it is pinned to."""
        person = attempt.shop or self.chance.choice(PEOPLE)
        came = agree(self.sandbox, attempt.provider, person, self.held[attempt.number].url)
        self.model.codes.append(Code(len(self.came), attempt, person))
        self.came.append(came)

    def callback(self, name: str, code: Code, aim: Aim, *, verifier: str = "") -> None:
        """Send what belongs to `code`, aimed elsewhere. `fitting`: the verifier that the state's attempt wants."""
        attempt, issuer = code.attempt, self.chance.choice(ISSUERS)
        if aim == Aim((attempt.tenant, attempt.actor), attempt.provider, attempt.number):
            name = "honest"
        aimed = self.attempts[aim.state] if isinstance(aim.state, int) else attempt
        verifier = verifier or self.chance.choice(VERIFIERS)
        whose = self.chance.choice(self.attempts) if verifier == "others" else aimed
        if verifier == "fitting":
            verifier = "right" if aimed.own_verifier else "none"
        elif verifier == "others":
            # One that nobody announced is a wrong one.
            verifier = "right" if whose.own_verifier else "wrong"
        body = dict(self.came[code.number])
        signed = issuer == "none" and aim.state == attempt.number
        if issuer != "none":
            body["iss"] = iss(self.held[aimed.number].url) if issuer == "own" else "https://evil.example"
            issuer = issuer if aimed.provider == aim.provider else "other"
        if aim.state == "missing":
            del body["state"]
        else:
            body["state"] = self.held[aim.state].state if isinstance(aim.state, int) else secrets.token_urlsafe(32)
        if verifier != "none":
            body["code_verifier"] = (
                self.held[whose.number].verifier if verifier == "right" else secrets.token_urlsafe(48)
            )
        sent = Sent(*aim.who, aim.provider, code, aim.state, verifier, whose, issuer, signed)
        self.sent.append((sent, body))
        self.answered(name, sent, body)

    def answered(self, name: str, sent: Sent, body: dict[str, str]) -> None:
        self.before = dict(self.model.connections)
        wanted = self.model.callback(sent)
        answer = self.callers[sent.tenant, sent.actor].finish(sent.provider, **body)
        outcomes = {
            (200, None): "connected",
            (409, "different_account"): "other_account",
            (422, "invalid_authorization"): "refused",
        }
        assert outcomes.get((answer.status_code, answer.json().get("code"))) == wanted, (sent, wanted, answer.text)
        self.met[f"{name}: {wanted}"] += 1

    @invariant()
    def nothing_unlawful(self):
        assert unlawful(self.model, self.before) == []

    @invariant()
    def what_is_shown_as_connected_is_what_the_model_says(self):
        for tenant in (0, 1):
            shown = self.callers[tenant, 0].connected()
            wanted = {p: c.person for (t, p), c in self.model.connections.items() if t == tenant}
            assert set(shown) == set(wanted), (shown, wanted)
            for provider, name in shown.items():
                assert belongs(wanted[provider], name), (provider, name, wanted)


MET = (
    *("honest: connected", "honest: refused", "again: connected", "again: refused", "disconnected", "expired"),
    *(
        f"{aim}: refused"
        for aim in ("other_state", "no_state", "forged", "stolen_code", "other_caller", "other_provider")
    ),
)
"""What has to have happened for the sequences to have shown something."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_only_those_are_connected_who_may_be(register, http, strict_http, sandbox, owner, part, figure, mode):
    class Machine(Attempts):
        pass

    Machine.register, Machine.sandbox, Machine.owner = register, sandbox, owner
    Machine.api, Machine.strict = (strict_http, True) if mode == "strict" else (http, False)
    Machine.met, Machine.played = Counter(), 0
    began = time.monotonic()
    chosen = settings(
        max_examples=part(*SEQUENCES) // len(MODES),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),  # making a failure smaller takes minutes; it is printed as it is found
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(seed(SEED + MODES.index(mode))(Machine), settings=chosen)
    figure(
        f"{Machine.played} sequences ({mode}) in {time.monotonic() - began:.0f} s: {dict(sorted(Machine.met.items()))}"
    )
    assert set(MET) <= set(Machine.met), sorted(set(MET) - set(Machine.met))
