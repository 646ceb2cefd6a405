"""The client against the OpenAPI document: every endpoint has a method, and no method knows more than the document."""

import inspect
import typing

import pytest

from api.app import create_app
from supportly.client import Account, Ask, Service
from supportly.contracts import answers
from supportly.settings import Settings
from tests.client.documented import unknown

PAGES = {("GET", "/oauth/callback/{provider}")}
"""What a person's browser opens."""
DOCUMENT = create_app(Settings()).openapi()
PARTS = {"provider": "hubspot", "contact_id": 42, "operation_id": "0b0d4a5e", "run_id": "0b0d4a5e"}


def methods() -> dict[str, typing.Any]:
    owners = (Account(7), Service())
    members = [pair for owner in owners for pair in inspect.getmembers(owner, inspect.ismethod)]
    return {name: method for name, method in members if not name.startswith("_")}


def value(name: str, annotation: str) -> typing.Any:
    if name in PARTS:
        return PARTS[name]
    if "Mapping" in annotation:
        return {"one": "1"}
    if "Decision" in annotation:
        return "confirm_deletes"
    if "ActivityKind" in annotation:
        return "call"
    return 7 if "int" in annotation else True if "bool" in annotation else "text"


def asks(name: str) -> list[Ask]:
    """The method's request with as little, and with as much, as it takes."""
    signature = inspect.signature(methods()[name])
    every = {n: value(n, str(p.annotation)) for n, p in signature.parameters.items()}
    needed = {n: v for n, v in every.items() if signature.parameters[n].default is inspect.Parameter.empty}
    return [methods()[name](**needed), methods()[name](**every)]


def operation(ask: Ask) -> dict:
    return DOCUMENT["paths"][ask.template][ask.method.lower()]


def test_every_endpoint_has_a_method_and_no_method_an_endpoint_of_its_own() -> None:
    documented = {(m.upper(), path) for path, item in DOCUMENT["paths"].items() for m in item}
    asked = {(ask.method, ask.template) for name in methods() for ask in asks(name)}
    assert asked == documented - PAGES


@pytest.mark.parametrize("name", sorted(methods()))
def test_what_is_sent_is_documented(name: str) -> None:
    for ask in asks(name):
        known = operation(ask)
        parameters = {where: {p["name"] for p in known.get("parameters", []) if p["in"] == where} for where in
                      ("path", "query", "header")}  # fmt: skip
        assert set(ask.parts) == parameters["path"]
        assert set(ask.query) <= parameters["query"]
        body = known.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        sent = set(ask.body or {}) - {"one"}
        assert sent <= set(body.get("properties", {}))
        assert set(body.get("required", [])) <= set(ask.body or {})
        assert "Prefer" in parameters["header"] or not ask.waits, "a method waits where the document does not"
        assert ask.waits == ("202" in known["responses"]) or name == "decide_deletions"
    whole = asks(name)[1]
    named = {n for n in inspect.signature(methods()[name]).parameters if n in parameters["query"]}
    assert named == set(whole.query) == parameters["query"], "the method leaves a query parameter out"
    optional = set(body.get("properties", {}))
    if optional and name not in ("decide_deletions", "sync_knowledge"):
        assert optional == set(whole.body) - {"one"}, "the method leaves a field of the body out"


@pytest.mark.parametrize("name", sorted(set(methods()) - {"alive", "ready", "decide_deletions"}))
def test_the_documented_answer_is_the_models(name: str) -> None:
    ask = asks(name)[0]
    responses = operation(ask)["responses"]
    assert unknown(ask.answers, responses["200"]["content"]["application/json"]["example"]) == set()
    if "202" in responses:
        assert unknown(answers.Accepted, responses["202"]["content"]["application/json"]["example"]) == set()


def test_a_field_that_no_model_knows_is_noticed() -> None:
    assert unknown(answers.Found, {"query": "x", "hits": [], "more": 1}) == {".more"}
    hit = {"document_id": "1", "title": "", "provider": "x", "stream": "y", "snippet": "", "tier": "instant",
           "score": 1.0, "new": 1}  # fmt: skip
    assert unknown(answers.Found, {"query": "x", "hits": [hit]}) == {".hits[].new"}
