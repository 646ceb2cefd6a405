"""The story, told to an API of paper: every documented call is made, and one failure fails the whole."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from supportly.dev import demo
from supportly.dev.cast import CAST
from supportly.dev.console import Report
from supportly.dev.stack import Stack
from supportly.dev.temporal import Temporal

ROOT = "/api/v1/accounts/1/supportly_integrations"


class Paper:
    """Answers in the documented shapes; `wrong` answers some calls differently."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.runs = 0
        self.wrong: dict[str, httpx.Response] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path.removeprefix(ROOT)}"
        self.calls.append(call)
        if call in self.wrong:
            return self.wrong[call]
        for pattern, answer in self.answers():
            if re.fullmatch(pattern, call):
                return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)
        return httpx.Response(404, json={"error": f"no {call}", "code": "not_found"})

    def answers(self) -> list[tuple[str, Any]]:
        consent = "http://127.0.0.1:2/authorize?state=s"
        back = {"location": "http://127.0.0.1:1/oauth/callback/p?code=c&state=s"}
        run = {"run_id": str(self.runs), "state": "succeeded"} if self.runs else None
        listed = [{"provider": p, "name": p.title(), "available": True} for p in CAST]
        one = {"capabilities": {"contact_create": True, "activities": ["note"]}, "settings": {"streams": None}}
        later = {"operation_id": "o", "status_url": f"{ROOT}/operations/o"}
        status = [{"provider": p, "documents": 5, "chunks": 9, "last_run": run} for p in CAST]
        hit = {"title": "Reset", "provider": "zendesk", "score": 0.8, "url": "http://a"}
        if f"POST /{[*CAST][-1]}/knowledge/toggle" in self.calls:
            self.runs = 1
        return [
            ("POST /_sandbox/demo", {"hubspot": {"contacts": 3, "deals": 2}, "zendesk": 5}),
            ("GET ", {"integrations": listed}),
            ("POST /[a-z]+/connect", {"authorization_url": consent, "state": "s", "expires_at": "…"}),
            ("GET /authorize", httpx.Response(302, headers=back)),
            ("POST /[a-z]+/callback", {"status": "connected", "account_name": "Acme"}),
            ("GET /[a-z]+", one),
            ("PUT /[a-z]+/settings", one),
            ("GET /[a-z]+/contacts/1", {"records": [{"id": "1"}], "deals": [], "activities": [1, 2], "partial": {}}),
            ("POST /[a-z]+/contacts/1/sync", httpx.Response(202, json=later)),
            ("GET /operations/o", {"status": "succeeded", "result": {"status": "created", "record": {"id": "r7"}}}),
            ("POST /[a-z]+/contacts/1/activity", {"record": {"id": "n1"}}),
            ("POST /[a-z]+/action", {"items": [{"id": 1, "name": "Renewal"}]}),
            ("GET /knowledge/status", {"providers": status}),
            ("POST /[a-z]+/knowledge/(toggle|sync)", {"status": "running"}),
            ("GET /knowledge/search", {"hits": [hit]}),
        ]  # fmt: skip


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Paper], tuple[bool, str]]:
    real = httpx.Client

    def told(paper: Paper) -> tuple[bool, str]:
        monkeypatch.setattr(demo.httpx, "Client", lambda **given: real(transport=httpx.MockTransport(paper), **given))
        stack = Stack(tmp_path)
        stack.temporal = Temporal.__new__(Temporal)
        stack.temporal.ui_port = 8233
        out = io.StringIO()
        return demo.tell(stack, Report(out)), out.getvalue()

    return told


def test_the_whole_story(tell: Callable[[Paper], tuple[bool, str]]) -> None:
    paper = Paper()
    worked, said = tell(paper)
    assert worked, said
    assert "✗" not in said
    assert len(re.findall(r"✓ .* \d+\.\d\d s", said)) == len(CAST) + 4
    assert "Reset (zendesk, 0.80) http://a" in said
    for title in (p.title() for p in CAST):
        assert re.search(
            rf"^  {title} +Acme +1 record, 2 activities +created r7 +note n1 +\w+: 1 +5$", said, re.MULTILINE
        ), said
    assert "http://127.0.0.1:8233/namespaces/default/workflows?query=SupportlyAccount%3D%221%22" in said
    assert {call.split("/")[1] for call in paper.calls if call.endswith("/callback")} == set(CAST)


@pytest.mark.parametrize(
    ("call", "answer", "told"),
    [
        (
            "POST /hubspot/connect",
            httpx.Response(422, json={"error": "No client is configured.", "code": "invalid_input"}),
            "answered 422: No client is configured.",
        ),
        ("GET /authorize", httpx.Response(200, text="<html>"), "answered 200 without a redirect"),
        ("GET /knowledge/search", httpx.Response(200, json={"hits": []}), "nothing was found"),
        ("GET /operations/o", httpx.Response(200, json={"status": "failed", "error": "gone"}), "ended as failed: gone"),
        ("POST /hubspot/action", httpx.Response(502, text="<html>Bad Gateway"), "answered 502: <html>Bad Gateway"),
    ],
)
def test_a_step_that_fails_fails_the_story_and_the_others_are_still_told(
    tell: Callable[[Paper], tuple[bool, str]], call: str, answer: httpx.Response, told: str
) -> None:
    paper = Paper()
    paper.wrong[call] = answer
    worked, said = tell(paper)
    assert not worked
    assert told in said
    assert "Ask: How do I reset my password?" in said
    assert "Not every step worked; the logs are in" in said
