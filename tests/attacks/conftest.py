"""Attacks on the running service, over HTTP: PostgreSQL, Temporal, worker and API are real (see tests/conftest.py)."""

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, create_engine

from supportly.dev.processes import free_port
from supportly.providers import PROVIDERS
from supportly.settings import Settings
from tests.attacks.people import Caller, Register
from tests.conftest import Service
from tests.serving import listening

WHOLE = os.environ.get("SUPPORTLY_PROOFS") == "whole"
QUIET = tuple(provider.id for provider in PROVIDERS)
"""Doubles without rate limits: nothing here is about those, and attackers do not keep to them."""
_accounts = itertools.count(3_000_000, 10)


@pytest.fixture(scope="session")
def part() -> Callable[[int, int], int]:
    """`part(whole, tenth)`: how much of an attack to run (`make proofs` or `make test`)."""
    return lambda whole, tenth: whole if WHOLE else tenth


@pytest.fixture
def figure(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Says what an attack has counted, past pytest's capture."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}")  # noqa: T201 (for who reads the run)

    return say


@pytest.fixture(scope="session")
def owner(postgres) -> Iterator[Engine]:
    """The database as its owner sees it: all tenants' rows."""
    engine = create_engine(postgres.admin_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.api_url, timeout=90) as client:
        yield client


def served(settings: Settings) -> Iterator[httpx.Client]:
    """Another API process's worth of `settings`, in a thread, beside the usual one."""
    with (
        listening(settings, free_port()) as url,
        httpx.Client(base_url=url, timeout=90) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def strict_http(service: Service) -> Iterator[httpx.Client]:
    """The API as production has it: a callback carries its state."""
    yield from served(service.settings.model_copy(update={"callback_mode": "strict"}))


@pytest.fixture(scope="module")
def register(service: Service, owner: Engine) -> Iterator[Register]:
    """Makes callers, and lets Supportly's double know their accounts. The doubles are afterwards as they were."""
    usual = {provider: service.control("GET", f"/{provider}/settings") for provider in QUIET}
    for provider in QUIET:
        service.control("POST", f"/{provider}/settings", json={"rate_limits": False})
    yield Register(service, owner)
    for provider, settings in usual.items():
        service.control("POST", f"/{provider}/settings", json=settings)


@pytest.fixture
def fresh() -> int:
    """The first of ten accounts that nobody else uses."""
    return next(_accounts)


@pytest.fixture
def admin(register: Register, http: httpx.Client, fresh: int) -> Caller:
    """An administrator of an account of its own."""
    return register.caller(http, fresh)


@pytest.fixture(scope="session")
def sandbox(service: Service) -> Any:
    """Speaks to the sandbox's control plane."""
    return service.control
