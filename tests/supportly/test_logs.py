"""A log line is JSON, and quotes no exception's text."""

import json
import logging
from contextvars import copy_context

import pytest

from supportly import logs


def line(**extra) -> dict:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "done %s", ("it",), None)
    for name, value in extra.items():
        setattr(record, name, value)
    return json.loads(logs.JsonFormatter().format(record))


def test_a_line_holds_what_was_said_and_where():
    shown = line(account_id=7, request_id="r", unknown="x", ms=None)
    assert shown["message"] == "done it"
    assert (shown["level"], shown["logger"], shown["account_id"], shown["request_id"]) == ("INFO", "x", 7, "r")
    assert "unknown" not in shown
    assert "ms" not in shown


def test_an_exception_shows_its_type_and_place_only():
    def inner() -> None:
        raise ValueError("token=abc of ann@example.com")

    try:
        inner()
    except ValueError:
        import sys

        shown = line(exc_info=sys.exc_info())
    assert shown["exception"] == "ValueError"
    assert shown["at_line"].startswith("test_logs.py:")
    assert "abc" not in json.dumps(shown)


def test_a_line_is_one_line():
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "a\nb\u2028", None, None)
    assert "\n" not in logs.JsonFormatter().format(record)


def test_a_block_that_is_closed_in_another_context_leaves_that_one_alone():
    """What happens to a workflow that leaves a worker's memory half-way."""
    block = logs.bound(request_id="r-1")
    copy_context().run(block.__enter__)
    with logs.bound(request_id="r-2"):
        block.__exit__(None, None, None)
        assert logs.known() == {"request_id": "r-2"}
    assert logs.known() == {}


@pytest.fixture
def _logging_as_it_was():
    root, levels = logging.getLogger(), {}
    handlers, level = root.handlers[:], root.level
    for name in ("httpx", "httpcore", "wordllama", "temporalio.activity", "temporalio.workflow"):
        levels[name] = logging.getLogger(name).level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


@pytest.mark.usefixtures("_logging_as_it_was")
def test_chatty_libraries_are_quiet(capsys):
    logs.configure("INFO")
    logging.getLogger("httpx").info("GET https://x/?code=secret")
    logging.getLogger("supportly.x").info("hello")
    try:
        raise KeyError("secret")
    except KeyError:
        logging.getLogger("supportly.x").exception("failed")
    said = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert [entry["message"] for entry in said] == ["hello", "failed"]
    assert "secret" not in json.dumps(said)
