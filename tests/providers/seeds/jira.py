"""Jira's records for the contract suite."""

from __future__ import annotations

from typing import Any

from supportly.errors import NotFound, ProviderFailure, Throttled, TokenRefused
from supportly.provider import Call
from supportly.providers.jira.api import V3
from tests.providers.harness import World
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed


def _error(*messages: str, **errors: str) -> dict[str, Any]:
    return {"errorMessages": list(messages), "errors": errors}


def _site(number: int) -> list[list[str]]:
    return [[f"{number:08d}-1111-4111-8111-111111111111", "acme"]]


def _person(world: World, name: str, email: str, phone: str) -> dict[str, list[dict[str, Any]]]:
    """A customer of the desk; several of one address have names that differ."""
    number = len(world.double.records["user"])
    desk = world.double.records["service_desk"]["1"]
    key = f"customer-{number}"
    return {
        "users": [{"id": key, "displayName": name, "emailAddress": email, "accountType": "customer"}],
        "service_desks": [{"id": "1", "customers": [*desk["customers"], key]}],
    }


async def _writes(world: World, call: Call) -> None:
    world.seed(issues=[{"id": "77", "number": 77}])
    await call.http.put(f"{V3}/issue/SUP-77/assignee", {"accountId": "admin-account"})


async def _slow_writes(world: World, call: Call) -> None:
    world.sandbox.clock.offset += 0.15  # slower than the limit of two seconds
    await _writes(world, call)


SEEDS = Seeds(
    person=_person,
    phones=False,
    streams={
        "issues": StreamSeed(
            "issues",
            lambda n, title, text: {"id": str(n), "number": n, "summary": title, "description": text},
            broken=lambda n: {"id": str(n), "number": n, "summary": "Odd", "description": ["no document"]},
        )
    },
    world=lambda _: {
        "issues": [{"id": str(n), "number": n, "summary": f"Issue {n}", "request": True} for n in range(1, 4)],
        "projects": [{"key": f"P{n}", "name": f"Project {n}"} for n in range(3)],
        "users": [{"displayName": f"User ada {n}"} for n in range(3)],
        "service_desks": [{"id": str(n)} for n in range(2, 4)],
    },
    params=lambda _: {"assign_issue": {"key": "SUP-1", "account_id": "admin-account"}},
    settings={
        "service_desk_id": "1", "project_key": "SUP", "issue_type_id": "10001", "projects": ["SUP"],
    },
    account=lambda n: ({"sites": _site(n)}, {}),
    errors=(
        SheetError("validation", 400, _error(summary="You must specify a summary of the issue."), ProviderFailure),
        SheetError("bad query", 400, _error("Unbounded JQL queries are not allowed here."), ProviderFailure),
        SheetError("gateway", 401, {"code": 401, "message": "Unauthorized"}, TokenRefused),
        SheetError("scope", 401, {"code": 401, "message": "Unauthorized; scope does not match"}, ProviderFailure,
                   code="missing_scope"),
        SheetError("permission", 403, _error("You do not have permission."), ProviderFailure),
        SheetError("missing or invisible", 404, _error("Issue does not exist."), NotFound),
        SheetError("transition conflict", 409, _error("Conflict"), ProviderFailure),
        SheetError("removed", 410, _error("The requested API has been removed."), ProviderFailure),
        SheetError("per issue", 413, _error("Too many comments."), ProviderFailure),
        SheetError("configuration", 422, _error("Configuration problem."), ProviderFailure),
        SheetError("burst", 429, _error("Rate limit exceeded."), Throttled, retryable=True, pause=(7, 7),
                   headers={"retry-after": "7", "ratelimit-reason": "jira-burst-based"}),
        SheetError("quota without Retry-After", 429, _error("Rate limit exceeded."), Throttled, retryable=True,
                   pause=(1, 3600), headers={"ratelimit-reason": "jira-quota-global-based"}),
        SheetError("a gateway's 429 without anything", 429, _error(), Throttled, retryable=True, pause=(2, 2)),
        SheetError("unavailable", 503, _error("Unavailable"), ProviderFailure, retryable=True,
                   headers={"retry-after": "9"}),
        SheetError("Service Management", 400, {"errorMessage": "The email address is invalid."}, ProviderFailure),
    ),
    limits=(
        Limit("hourly points", lambda _, call: call.http.get(f"{V3}/project/search"), {"points": 30}, (1, 3600)),
        Limit("hourly points, without Retry-After", lambda _, call: call.http.get(f"{V3}/project/search"),
              {"points": 30, "retry_after": False}, (1, 3600)),
        Limit("burst", lambda _, call: call.http.get(f"{V3}/myself"), pause=(1, 1), most=101),
        Limit("writes to one issue", _writes, pause=(1, 2), most=21),
        Limit("writes to one issue, at a slower pace", _slow_writes, pause=(1, 30), most=101),
    ),
)  # fmt: skip
