"""The registry holds every provider module once, in the documented order, and says what each can do."""

import pkgutil
from typing import get_args

import pytest

import supportly.providers as registry
from supportly.contracts.contacts import ActivityKind
from supportly.errors import InvalidInput, NotFound
from supportly.provider import Provider

ORDER = ["hubspot", "salesforce", "pipedrive", "calendly", "schedly", "stripe", "zendesk", "jira", "slack", "shopify"]
CRM = ["get_deals", "get_companies", "search_contacts"]
DOCUMENTED = {  # DESIGN §1, in its order
    "hubspot": CRM,
    "salesforce": CRM,
    "pipedrive": CRM,
    "calendly": ["get_event_types", "get_scheduled_events"],
    "schedly": [
        "get_bookings", "get_available_slots", "create_booking", "cancel_booking", "reschedule_booking", "get_teams",
        "get_event_types", "route_lead",
    ],
}  # fmt: skip
EVERY = pytest.mark.parametrize("provider", registry.PROVIDERS, ids=lambda p: p.id)


def test_every_provider_module_is_in_the_registry():
    modules = {info.name for info in pkgutil.iter_modules(registry.__path__)}
    assert modules == {
        type(p).__module__.removeprefix("supportly.providers.").partition(".")[0] for p in registry.PROVIDERS
    }


def test_ids_are_unique_and_in_the_documented_order():
    assert [p.id for p in registry.PROVIDERS] == ORDER
    assert list(registry.BY_ID) == ORDER


def test_an_unknown_provider_is_not_found_and_the_answer_names_the_known_ones():
    assert registry.get("schedly").title == "Schedly"
    with pytest.raises(NotFound) as refused:
        registry.get("acme")
    assert refused.value.details["allowed"] == ORDER
    assert "acme" not in refused.value.message


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_actions_are_there(name):
    assert registry.get(name).capabilities.actions[: len(DOCUMENTED[name])] == DOCUMENTED[name]


@EVERY
def test_capabilities_are_stated_in_full(provider):
    can = provider.capabilities
    assert can.contact_lookup
    assert set(can.activities) <= set(get_args(ActivityKind))
    assert can.actions
    assert can.knowledge_streams
    assert (provider.planned is None) == provider.available


@EVERY
def test_examples_of_connect_fields_pass_and_foreign_hosts_do_not(provider: Provider):
    for part in provider.connect_fields:
        assert part.read(part.example) == part.example
        assert part.read(part.example.upper()) == part.example
        for wrong in (
            "evil.example",
            part.example + "\n",
            part.example + ".evil.example",
            "acme.my.salesforce.com.evil.example",
        ):
            with pytest.raises(InvalidInput) as refused:
                part.read(wrong)
            assert refused.value.details["field"] == part.name


@EVERY
def test_settings_describe_themselves_and_refuse_unknown_ones(provider):
    schema = provider.settings.model_json_schema()
    assert all(field.get("description") for field in schema["properties"].values())
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("provider", [p for p in registry.PROVIDERS if p.available], ids=lambda p: p.id)
def test_actions_are_described_and_their_examples_are_valid(provider):
    for action in provider.actions.values():
        assert action.description
        action.params.model_validate(dict(action.example))


def test_what_a_sheet_forbids_is_not_offered():
    assert registry.get("stripe").capabilities.activities == []
    assert "task" not in registry.get("shopify").capabilities.activities
    assert not registry.get("slack").capabilities.contact_create
    assert not registry.get("jira").capabilities.contact_update
    assert not registry.get("schedly").capabilities.contact_create
    assert "terms" in registry.get("slack").notice
