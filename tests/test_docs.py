"""Docs are tested: what is not documented fails here."""

import re
from pathlib import Path

import pytest

from api.app import create_app
from supportly.dev import pages
from supportly.provider import LogsActivities, Provider, StreamsKnowledge
from supportly.providers import PROVIDERS
from supportly.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}
README = (ROOT / "README.md").read_text()


def test_every_endpoint_is_documented() -> None:
    prefix = "/api/v1/accounts/{account_id}/supportly_integrations"
    paths = create_app(Settings()).openapi()["paths"]
    assert len(paths) > 13
    for path, methods in paths.items():
        short = path.removeprefix(prefix) or "/"
        for method in methods:
            assert f"`{method.upper()} {short}`" in DOCS["api.md"], f"docs/api.md lacks {method.upper()} {short}"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(SUPPORTLY_\w+)` \| (.+?) \|", DOCS["settings.md"], re.MULTILINE))
    names = {f"SUPPORTLY_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert set(rows) == set(names)
    for name, field in names.items():
        shown, default = rows[name].strip("`"), field.default
        if isinstance(default, bool):
            assert shown == str(default).lower(), name
        elif isinstance(default, int | float):
            assert float(shown) == float(default), name
        elif isinstance(default, str):
            assert shown == (default or "empty"), name


def test_every_provider_is_named() -> None:
    for provider in PROVIDERS:
        assert provider.title in README
        assert f"`{provider.id.upper()}`" in DOCS["settings.md"]


def test_the_page_of_providers_is_what_the_providers_state() -> None:
    assert DOCS["providers.md"] == pages.page(), "run `make docs`"


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.id)
def test_a_provider_says_how_it_is_registered_limited_and_what_it_cannot(provider: Provider) -> None:
    about, can = provider.about, provider.capabilities
    assert len(about.register) >= 3
    assert about.limits
    assert all(scope.reason for scope in provider.oauth.scopes)
    lacks = [
        not can.contact_create,
        not can.contact_update,
        not isinstance(provider, LogsActivities) or set(provider.activity_kinds) < {"note", "call", "task"},
        not isinstance(provider, StreamsKnowledge),
        not (provider.oauth.revoke or type(provider).revoke is not Provider.revoke),
    ]
    assert len(about.cannot) >= sum(lacks), "what is not possible is said, with the reason"
    told = pages.page([provider])
    for name in (*provider.actions, *can.knowledge_streams, *(part.name for part in provider.connect_fields)):
        assert f"`{name}`" in told


@pytest.mark.parametrize("name", sorted(DOCS))
def test_what_docs_point_to_exists(name: str) -> None:
    for path in re.findall(r"`((?:api|workflows|activities|supportly|sandbox|tests|bench|docs)/[\w./-]+)`", DOCS[name]):
        if "acme" not in path:
            assert (ROOT / path).exists(), f"docs/{name} names {path}"


def test_every_named_function_is_where_the_table_says() -> None:
    rows = re.findall(r"`([\w/]+\.py)`, `(?:\w+\.)?(\w+)`", DOCS["architecture.md"])
    assert len(rows) >= 6
    for path, name in rows:
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), f"{name} is not in {path}"


def test_the_commands_of_the_readme_are_verbs_of_the_makefile() -> None:
    verbs = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", README)) <= verbs
