"""Every provider's actions over HTTP: what is listed can be validated against, and is what is run."""

import jsonschema_rs
import pytest

from supportly.provider import Provider
from supportly.providers import PROVIDERS

EVERY = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.id)
PLACES = {"subdomain": "acme", "shop": "acme.myshopify.com", "site": "acme.atlassian.net"}


@EVERY
def test_actions_are_listed_with_a_schema_and_an_example_that_fits_it(blank, provider: Provider):
    listed = blank.call("GET", f"/{provider.id}").json()["actions"]
    assert [one["name"] for one in listed] == list(provider.actions)
    for one in listed:
        assert one["description"], one["name"]
        jsonschema_rs.meta.validate(one["params_schema"])
        jsonschema_rs.validate(one["params_schema"], one["example"])
        for field, schema in one["params_schema"].get("properties", {}).items():
            # An object's description stands where the object is described.
            name = schema.get("$ref", "").rpartition("/")[2]
            told = schema.get("description") or (name and one["params_schema"]["$defs"][name].get("description"))
            assert told, (one["name"], field)


@EVERY
def test_an_unknown_action_is_answered_with_the_list(blank, provider: Provider):
    answer = blank.call("POST", f"/{provider.id}/action", json={"action": "fly"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_choice")
    assert answer.json()["details"]["allowed"] == list(provider.actions)


@EVERY
def test_what_is_missing_or_unknown_in_the_parameters_is_named(blank, provider: Provider):
    for name, action in provider.actions.items():
        schema = action.params.model_json_schema()
        answer = blank.call("POST", f"/{provider.id}/action", json={"action": name, "params": {"wings": 2}})
        assert answer.status_code == 422, name
        named = answer.json()["details"]["field"]
        assert named in {f"params.{field}" for field in ("wings", *schema.get("required", ()))}, name


@EVERY
def test_every_list_that_needs_no_parameters_is_read_from_the_provider(account, provider: Provider):
    body = {part.name: PLACES[part.name] for part in provider.connect_fields if part.name in PLACES}
    assert account.connect(provider.id, **body).status_code == 200
    lists = [
        n for n, a in provider.actions.items() if not a.writes and not a.params.model_json_schema().get("required")
    ]
    assert lists
    for name in lists:
        answer = account.call("POST", f"/{provider.id}/action", json={"action": name, "params": {}})
        if answer.status_code == 422:  # nothing is required by itself, and one of several has to be named
            assert answer.json()["details"]["field"]
            continue
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["provider"], told["action"]) == (provider.id, name)
        assert isinstance(told["items"], list) != (told["result"] is not None)
