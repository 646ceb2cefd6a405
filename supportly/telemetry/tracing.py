"""The span around a call that leaves the process. It speaks OpenTelemetry's API alone: without SUPPORTLY_TRACING there
is no provider, and a span is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import unquote

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from supportly import logs

WORD: Final = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,39}|v\d+(\.\d+)?|\d{4}-\d{2}(-\d{2})?")
"""A segment of a path that names something: words, an API's version by number or date. What is none is an id."""
CHOSEN: Final = frozenset({"encoder", "events"})
"""Peers whose address an operator wrote: a path there may be a secret of its own, and there is only one."""


def endpoint(path: str) -> str:
    """A path without its ids: `/crm/v3/objects/contacts/{id}`."""
    parts = [part if not part or WORD.fullmatch(unquote(part)) else "{id}" for part in path.split("/")]
    return "/".join(parts)


_tracer = trace.get_tracer("supportly.http")
"""Without a provider its spans are empty and cost about a microsecond."""


@contextmanager
def call(method: str, path: str, peer: str) -> Iterator[Span]:
    """The span around one call that leaves the process; ids of the work around it come from the log's context."""
    with _tracer.start_as_current_span(
        f"{method} {peer}", kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
    ) as span:
        if span.is_recording():
            around = logs.known()
            span.set_attributes(
                {
                    "http.request.method": method,
                    "supportly.provider": peer,
                    "supportly.endpoint": "" if peer in CHOSEN else endpoint(path),
                    **{f"supportly.{k}": around[k] for k in ("account_id", "attempt", "request_id") if k in around},
                }
            )
        yield span
