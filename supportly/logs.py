"""Structured logs: one JSON object a line, on standard error. No request bodies, no addresses of people, no tokens."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry import trace

NAMES: Final = (
    "request_id",
    "operation_id",
    "workflow_id",
    "activity",
    "attempt",
    "account_id",
    "provider",
    "status",
    "ms",
    "method",
    "route",
    "places",
)
"""What a line may say beside its message, of the record itself or of the work around it."""

_known: ContextVar[Mapping[str, Any]] = ContextVar("supportly_log_context")


def known() -> Mapping[str, Any]:
    """The ids of the work that is being done: every log line of it carries them."""
    return _known.get({})


def note(**ids: Any) -> None:
    """Add ids that were learned on the way; they are forgotten at the end of the block that `bound` began."""
    _known.set({**known(), **ids})


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Log lines inside carry `ids`, also those of tasks that are started inside."""
    before = _known.set({**known(), **ids})
    try:
        yield
    finally:
        # A workflow that leaves a worker's memory half-way is closed in another context, which never had these ids.
        with suppress(ValueError):
            _known.reset(before)


class JsonFormatter(logging.Formatter):
    """A record as JSON. Exceptions show their type and place; their text may quote what must not be logged."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        around = known()
        for name in NAMES:
            if (value := getattr(record, name, around.get(name))) is not None:
                line[name] = value
        if (span := trace.get_current_span().get_span_context()).is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
        if record.exc_info and record.exc_info[0]:
            frame = record.exc_info[2]
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            line["exception"] = record.exc_info[0].__name__
            if frame is not None:
                line["at_line"] = f"{frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}"
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Send all logs through one JSON handler; chatty libraries speak from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "wordllama", "temporalio.activity", "temporalio.workflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
