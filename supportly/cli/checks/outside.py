"""What lies outside: the providers' credentials, redirect URIs and hosts, and Supportly's own API."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

from supportly import providers
from supportly.cli.checks.finding import LOOK_S, Finding, fail, ok, skipped, warn
from supportly.errors import NotFound, ProviderFailure, SupportlyError
from supportly.http import Outbound, allowed_host
from supportly.platform import Platform
from supportly.provider import Provider
from supportly.settings import Settings

NOBODY: Final = 2**63 - 1
"""A contact that no account has: asking for it shows whether our token is accepted, and reads nothing."""


async def check(settings: Settings, outbound: Outbound, account_id: int) -> list[Finding]:
    """All findings, providers in the order of the registry."""
    redirects = _redirects(settings)
    hosts = await asyncio.gather(*(_provider(p, settings, outbound) for p in providers.PROVIDERS if p.available))
    return [redirects, *hosts, await _supportly(settings, outbound, account_id), await _events(settings, outbound)]


def _redirects(settings: Settings) -> Finding:
    """The redirect URI has to be one that providers accept, and a different one for each where it names them."""
    pattern = settings.callback_url
    parts = urlsplit(pattern.replace("{provider}", "hubspot"))
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.fragment:
        return fail("redirect URI", f"{pattern} is no address", "Set SUPPORTLY_CALLBACK_URL to a whole https address.")
    if parts.scheme != "https" and not (local and settings.environment == "development"):
        return fail(
            "redirect URI", f"{pattern} is not https", "Providers refuse it: set SUPPORTLY_CALLBACK_URL to https."
        )
    if "{provider}" not in pattern:
        return warn(
            "redirect URI",
            f"{pattern} is the same for all providers",
            "Put `{provider}` into SUPPORTLY_CALLBACK_URL, unless the page there tells them apart by `state`.",
        )
    return ok("redirect URI", f"{pattern}: register it, filled in, at each provider")


async def _provider(provider: Provider, settings: Settings, outbound: Outbound) -> Finding:
    name, client = f"provider {provider.id}", settings.client(provider.id)
    prefix = f"SUPPORTLY_{provider.id.upper()}_CLIENT"
    lacking = [f"{prefix}_ID"] * (not client.client_id) + [f"{prefix}_SECRET"] * (
        not client.client_secret.get_secret_value()
    )
    if len(lacking) == 2:
        return skipped(name, f"Not configured: {prefix}_ID and {prefix}_SECRET are empty")
    if lacking:
        return fail(name, f"{lacking[0]} is empty", f"Set it: docs/providers.md says where {provider.title} shows it.")
    host = urlsplit(provider.oauth.token).hostname or ""
    if "{" in provider.oauth.token:
        return ok(name, "Credentials are set; its host depends on the account")
    try:
        await outbound.send("GET", f"https://{host}/", timeout_s=LOOK_S)
    except ProviderFailure as error:
        if not error.sent or error.status == 504:
            return fail(
                name, f"{host} cannot be reached", f"Let this machine reach https://{host}: firewall, DNS, proxy."
            )
    return ok(name, f"Credentials are set, {host} answers")


async def _supportly(settings: Settings, outbound: Outbound, account_id: int) -> Finding:
    platform = Platform(outbound, settings.supportly_api_url, settings.supportly_api_token.get_secret_value())
    where = settings.supportly_api_url
    if not settings.supportly_api_token.get_secret_value():
        return fail(
            "supportly", "SUPPORTLY_SUPPORTLY_API_TOKEN is empty", "Set it: contacts are read and marked with it."
        )
    try:
        await platform.contact(account_id, NOBODY)
    except NotFound:
        return ok("supportly", f"{where} knows our token")
    except ProviderFailure as error:
        if error.own_code == "supportly_refused":
            return fail("supportly", f"{where} refuses our token", "Renew SUPPORTLY_SUPPORTLY_API_TOKEN.")
        return fail("supportly", f"{where} answers nonsense", "SUPPORTLY_SUPPORTLY_API_URL has to end in /api/v1.")
    except SupportlyError as error:
        return fail("supportly", f"{where}: {error.message}", "Check SUPPORTLY_SUPPORTLY_API_URL, and that it is up.")
    return ok("supportly", f"{where} knows our token")


async def _events(settings: Settings, outbound: Outbound) -> Finding:
    """Whether the receiver of events can be reached; it is asked for nothing, so any answer will do."""
    url = settings.events_url
    if not url:
        return skipped("events", "Supportly is told nothing: SUPPORTLY_EVENTS_URL is empty")
    if settings.environment == "production" and not allowed_host(url, [urlsplit(url).hostname or ""]):
        return fail("events", f"{url} is refused", "It has to be https on a named host and its usual port.")
    try:
        await outbound.send("GET", url, timeout_s=LOOK_S)
    except ProviderFailure as error:
        if not error.sent or error.status == 504:
            return fail("events", f"{url} cannot be reached", "Check SUPPORTLY_EVENTS_URL; events wait for a day.")
    kinds = len(settings.event_kinds)
    return ok(
        "events", f"{url} answers; it is told {kinds} kinds of events, signed with {len(settings.event_keys)} secrets"
    )
