"""Shopify's GraphQL: one endpoint, three levels of errors, costs in points, and its search syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from supportly.errors import InvalidInput, ProviderFailure
from supportly.http import Http, cleaned

POINTS: Final[Mapping[str, float]] = {"one": 5, "page": 15, "write": 15}
"""Points that we count a query as, before its answer tells what it cost: an object, a page, a mutation."""

Row = dict[str, Any]


def quoted(value: object) -> str:
    r"""`value` as one text of the search syntax: in double quotes, with `\` and `"` escaped.

    Unquoted, spaces, `:`, `(`, `AND`, `-` and `*` would mean something.
    """
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


async def send(http: Http, query: str, variables: Mapping[str, Any], weight: str) -> tuple[Row, datetime]:
    """`data` of a query, and Shopify's own time. Errors of all levels but `userErrors` are raised."""
    body = {"query": query, "variables": dict(variables)}
    answer = await http.request("POST", "graphql.json", json=body, weight=POINTS[weight])
    data = answer.body().get("data")
    if not isinstance(data, dict):
        raise ProviderFailure("Shopify answered without `data`.")
    return data, answer.date


async def ask(http: Http, query: str, variables: Mapping[str, Any], weight: str) -> Row:
    """`data` of a query."""
    return (await send(http, query, variables, weight))[0]


async def write(http: Http, query: str, variables: Mapping[str, Any], name: str) -> Row:
    """Payload of a mutation. Raises InvalidInput with the field where Shopify names one."""
    payload = (await ask(http, query, variables, "write")).get(name)
    if not isinstance(payload, dict):
        raise ProviderFailure("Shopify answered a mutation without its payload.")
    for error in payload.get("userErrors") or []:
        field = ".".join(str(part) for part in error.get("field") or [])
        code = str(error.get("code") or ("TAKEN" if "already been taken" in str(error.get("message")) else ""))
        raise InvalidInput(cleaned(error.get("message")), field=field, details={"provider_code": code})
    return payload


def nodes(data: Mapping[str, Any], name: str) -> list[Row]:
    """The rows of a connection."""
    found = (data.get(name) or {}).get("nodes")
    if not isinstance(found, list):
        raise ProviderFailure(f"Shopify answered without the nodes of `{name}`.")
    return found


def following(data: Mapping[str, Any], name: str, cursor: str | None) -> str | None:
    """The cursor of the next page. Raises ProviderFailure when it is the one that was just asked for."""
    page = (data.get(name) or {}).get("pageInfo") or {}
    if not page.get("hasNextPage"):
        return None
    found = page.get("endCursor")
    if not found or found == cursor:
        raise ProviderFailure("Shopify named the same page twice in a row; the walk was stopped.")
    return str(found)


def number(gid: object) -> str:
    """The numeric part of `gid://shopify/Customer/123`."""
    return str(gid or "").rpartition("/")[2].partition("?")[0]


def gid(kind: str, key: object) -> str | None:
    """The global id of a numeric one; None for what is no id of Shopify's."""
    text = str(key)
    return f"gid://shopify/{kind}/{text}" if re.fullmatch(r"\d{1,20}", text) else None
