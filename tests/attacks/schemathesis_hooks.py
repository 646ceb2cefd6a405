"""What schemathesis cannot know of this API: which valid requests may be refused all the same, and in which words."""

import atexit
import json
import os
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis.core.failures import Failure

OF_THE_PROVIDER = ("unsupported_by_provider", "unknown_choice")
OF_THE_MOMENT = ("invalid_authorization", "authorization_denied", "idempotency_key_reused")
NEEDED_BY_SOME = ("settings.", "params", "shop", "subdomain", "target")
"""Beginnings of fields that one provider wants, or reads otherwise than another."""
NEEDS_MORE = ("settings.", "params.cursor", "params.time_zone", "target")
"""Beginnings of fields that a provider's own document can't describe: a setting that is to be chosen first, a cursor
that nobody gave, a name of the time zone list, a place that has to be there."""
LIMITS = ("is a number that is too large.", "is nested too deeply.")
"""Of every body, beside the schema of each (docs/api.md)."""
SOMEBODY_ELSE = {502: ("provider_error", "outcome_unknown"), 503: ("unavailable",), 504: ("provider_timeout",)}


answered: Counter = Counter()
"""Answers by endpoint and status."""


@schemathesis.hook
def after_call(context, case, response):
    answered[f"{case.operation.label} {response.status_code}"] += 1


@atexit.register
def say() -> None:
    Path(os.environ["ATTACK_ANSWERED"]).write_text(json.dumps(answered))


@schemathesis.check
def refused_for_a_reason(ctx, response, case):
    """A valid request that is refused names what its provider, its moment, or a limit of all bodies does not allow."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    body = response.json()
    if body["code"] in OF_THE_MOMENT or body["error"].endswith(LIMITS):
        return
    field = str(body["details"].get("field", ""))
    if "{provider}" in case.operation.path:
        if body["code"] in OF_THE_PROVIDER or field.startswith(NEEDED_BY_SOME):
            return
    elif field.startswith(NEEDS_MORE) and not case.operation.path.endswith("/settings"):
        return
    raise Failure(
        operation=case.operation.label,
        title="A valid request was refused for no reason of its provider or moment",
        message=response.text,
    )


@schemathesis.check
def somebody_else_failed(ctx, response, case):
    """A 502 or 504 is the provider's, a 503 of a part that is away; nothing else is answered in their name."""
    if response.status_code >= 500 and response.json()["code"] not in SOMEBODY_ELSE.get(response.status_code, ()):
        raise Failure(operation=case.operation.label, title="A failure of this service's own", message=response.text)
