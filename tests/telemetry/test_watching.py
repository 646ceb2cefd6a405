"""What operators see of a running stack: traces, metrics, log lines; alerts and dashboard ask only what exists."""

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bench.spans import Receiver, Span, receiving, tree
from supportly.dev.stack import ROOT, Stack
from supportly.telemetry.export import SHOWN
from tests.caller import consent, until

RULES = yaml.safe_load((ROOT / "ops/prometheus/alerts.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
BOARD = json.loads((ROOT / "ops/grafana/dashboard.json").read_text())
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in ALERTS} | {
    f"{panel['title']} {target['refId']}": target["expr"] for panel in BOARD["panels"] for target in panel["targets"]
}
SECRET = "S3cretNote"


@dataclass
class Watched:
    """A stack that was used, with all that it told."""

    stack: Stack
    receiver: Receiver
    http: httpx.Client
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    values: dict[str, dict[frozenset[tuple[str, str]], float]] = field(default_factory=lambda: defaultdict(dict))

    def scrape(self) -> None:
        """Read every endpoint that a Prometheus would."""
        token = self.stack.facts()["metrics"]["token"]
        for url in self.stack.metrics_urls():
            answer = httpx.get(url, headers={"authorization": f"Bearer {token}"}, timeout=30)
            assert answer.status_code == 200, url
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    self.labels[sample.name] |= set(sample.labels)
                    self.values[sample.name][frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """Sum of the samples with these labels."""
        return sum(v for k, v in self.values[name].items() if labels.items() <= dict(k).items())

    def lines(self, part: str) -> list[dict[str, Any]]:
        """The log of a part."""
        text = (self.stack.directory / "logs" / f"{part}.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="spl-t-") as made, receiving() as receiver:
        Path(made).chmod(0o755)
        settings = {**receiver.environment(), "SUPPORTLY_LOG_LEVEL": "INFO"}
        with Stack(Path(made), settings=settings).start() as stack:
            root = f"{stack.api_url}/api/v1/accounts/1/supportly_integrations"
            headers = {"api_access_token": stack.admin_token}
            with httpx.Client(base_url=root, headers=headers, timeout=60) as http:
                found = Watched(stack, receiver, http)
                used(found)
                found.scrape()
                yield found


def used(at: Watched) -> None:
    """Connect, look up, be refused once and refresh, write, sync, fail."""
    sandbox = f"{at.stack.sandbox_url}/_sandbox"
    httpx.post(f"{sandbox}/demo", timeout=30).raise_for_status()
    for provider, body in (("hubspot", {}), ("zendesk", {"subdomain": "supportly-demo"})):
        started = at.http.post(f"/{provider}/connect", json=body).raise_for_status().json()
        at.http.post(f"/{provider}/callback", json=consent(started["authorization_url"])).raise_for_status()
    sent = {"X-Request-Id": "r-lookup", "baggage": f"email=a@example.test,word={SECRET}"}
    at.http.get("/hubspot/contacts/1", headers=sent).raise_for_status()
    refused = {"provider": "hubspot", "path": "/crm/.*", "status": 401, "times": 1, "body": {}}
    httpx.post(f"{sandbox}/faults", json=refused).raise_for_status()
    at.http.get("/hubspot/contacts/1").raise_for_status()
    note = {"content": f"{SECRET} ada@example.test"}
    at.http.post("/hubspot/contacts/1/activity", json=note, headers={"X-Request-Id": "r-note"}).raise_for_status()
    at.http.post("/zendesk/knowledge/toggle", json={"enabled": True}).raise_for_status()
    at.http.post("/zendesk/knowledge/sync", headers={"Prefer": "wait=60"}).raise_for_status()
    broken = {"provider": "hubspot", "path": "/crm/.*", "status": 400, "times": -1, "body": {"message": SECRET}}
    httpx.post(f"{sandbox}/faults", json=broken).raise_for_status()
    assert at.http.get("/hubspot/contacts/2", headers={"X-Request-Id": "r-broken"}).status_code == 502
    httpx.delete(f"{sandbox}/faults").raise_for_status()
    assert httpx.get(f"{at.stack.api_url}/no/such/{SECRET}?q={SECRET}").status_code == 404


def spans_of(at: Watched, request_id: str) -> list[Span]:
    """The whole trace of a request, once its last span has come."""

    def complete() -> list[Span]:
        firsts = [
            s for s in at.receiver.spans if s.attributes.get("supportly.request_id") == request_id and not s.parent
        ]
        found = [s for s in at.receiver.spans if firsts and s.trace == firsts[0].trace]
        return found if any(s.name.startswith("CompleteWorkflow:") for s in found) else []

    return until(complete)


# --- traces


def test_a_trace_leads_from_the_request_to_the_providers_calls(watched: Watched) -> None:
    spans = spans_of(watched, "r-lookup")
    by_id = {span.id: span for span in spans}

    def ancestors(span: Span) -> list[str]:
        return [span.name, *(ancestors(by_id[span.parent]) if span.parent in by_id else [])]

    calls = [span for span in spans if span.name == "GET hubspot"]
    assert calls, tree(spans)
    route = "GET /api/v1/accounts/{account_id}/supportly_integrations/{provider}/contacts/{contact_id}"
    assert ancestors(calls[0]) == [
        "GET hubspot", "RunActivity:contact_lookup", "StartActivity:contact_lookup", "StartWorkflow:ContactLookup",
        route,
    ]  # fmt: skip
    run = next(span for span in spans if span.name == "RunWorkflow:ContactLookup")
    assert ancestors(run)[1:] == ["StartWorkflow:ContactLookup", route]
    about = calls[0].attributes
    assert about["supportly.provider"] == "hubspot"
    assert about["supportly.account_id"] == about["supportly.attempt"] == "1"
    assert re.fullmatch(r"(/[a-z]+|/\d{4}-\d{2}|/\{id\})+", about["supportly.endpoint"])
    assert about["http.response.status_code"] == "200"
    assert {span.service for span in spans} == {"supportly-api", "supportly-worker"}
    first = next(span for span in spans if not span.parent)
    assert first.began <= calls[0].began <= calls[0].ended <= first.ended


def test_spans_carry_nothing_personal_and_no_secret(watched: Watched) -> None:
    spans_of(watched, "r-broken")
    # The last request of all is the one to an address that does not exist.
    until(lambda: any(s.name == "GET" for s in watched.receiver.spans))
    said = repr(watched.receiver.spans)
    for word in (SECRET, "example.test", "sandbox-hubspot", watched.stack.admin_token, "code=", "?"):
        assert word not in said, word
    assert {name for span in watched.receiver.spans for name in span.attributes} <= SHOWN
    failed = [span for span in watched.receiver.spans if span.failed]
    assert failed, "the refused and the broken lookups failed"
    assert {name for span in failed for event in span.events for name in event} == {"exception.type"}


def test_no_history_shows_a_callers_baggage_or_request_id(watched: Watched) -> None:
    """Headers of Temporal are encrypted, and baggage does not come that far."""
    import asyncio

    from temporalio.client import Client

    async def read() -> str:
        assert watched.stack.temporal
        client = await Client.connect(watched.stack.temporal.address)
        handle = client.get_workflow_handle("acct/1/hubspot/contact/1/lookup")
        return (await handle.fetch_history()).to_json()

    history = asyncio.run(read())
    assert "supportly-request" in history
    for word in ("r-lookup", SECRET, "example.test", "traceparent"):
        assert word not in history


# --- log lines


def test_log_lines_of_api_and_worker_are_joined_by_request_operation_and_workflow(watched: Watched) -> None:
    api = [line for line in watched.lines("api") if line.get("request_id") == "r-note"]
    worker = [line for line in watched.lines("worker-1") if line.get("request_id") == "r-note"]
    assert [line["status"] for line in api if line["logger"] == "api.access"] == [200]
    assert {line["activity"] for line in worker} == {"contact_log"}
    for name in ("operation_id", "workflow_id", "account_id", "provider", "trace_id"):
        assert len({line[name] for line in (*api, *worker)}) == 1, name
    assert all(line["attempt"] == 1 for line in worker)


def test_logs_name_nobody(watched: Watched) -> None:
    for part in ("api", "worker-1"):
        text = (watched.stack.directory / "logs" / f"{part}.log").read_text()
        assert text
        for word in (SECRET, "example.test", "ada@", watched.stack.admin_token):
            assert word not in text, (part, word)


# --- metrics


def test_metrics_count_what_happened(watched: Watched) -> None:
    value, route = (
        watched.value,
        "/api/v1/accounts/{account_id}/supportly_integrations/{provider}/contacts/{contact_id}",
    )
    assert value("supportly_http_request_duration_seconds_count", route=route, status="200") == 2
    assert value("supportly_http_request_duration_seconds_count", route=route, status="502") == 1
    assert value("supportly_http_request_duration_seconds_count", route="-", status="404") == 1
    assert value("supportly_activity_duration_seconds_count", activity="contact_log", outcome="ok") == 1
    assert value("supportly_activity_duration_seconds_count", activity="contact_lookup", outcome="token_pending") >= 1
    assert value("supportly_activity_queue_seconds_count", task_queue="connections") >= 4
    assert value("supportly_token_refreshes_total", provider="hubspot", outcome="refreshed") == 1
    assert value("supportly_provider_call_duration_seconds_count", provider="hubspot", outcome="4xx") >= 2
    assert value("supportly_rate_budget_calls_total", provider="zendesk", lane="knowledge", decision="used") > 0
    assert value("supportly_operations_total", kind="activity", outcome="succeeded") == 1
    stored = {one["provider"]: one["documents"] for one in watched.http.get("/knowledge/status").json()["providers"]}
    added = value("supportly_knowledge_documents_total", provider="zendesk", change="added")
    assert added == stored["zendesk"] > 0
    assert value("supportly_knowledge_chunks_total", work="embedded") >= added
    assert value("supportly_connections", provider="hubspot", state="connected") == 1
    assert value("supportly_knowledge_accounts", provider="zendesk") == 1
    assert value("supportly_knowledge_overdue", provider="zendesk") == 0
    assert 0 < value("supportly_knowledge_oldest_seconds", provider="zendesk") < 600
    assert value("supportly_database_up") == 1
    assert value("temporal_num_pollers") > 0


def test_no_label_names_an_account_or_a_record(watched: Watched) -> None:
    ours = {name: labels for name, labels in watched.labels.items() if name.startswith("supportly_")}
    names = set().union(*ours.values())
    assert names == {
        "activity", "change", "decision", "kind", "lane", "le", "method", "outcome", "provider", "route", "state",
        "status", "task_queue", "version", "work",
    }  # fmt: skip


def test_the_apis_metrics_want_their_token(watched: Watched) -> None:
    url = f"{watched.stack.api_url}/metrics"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"authorization": f"Bearer {watched.stack.admin_token}"}).status_code == 401


# --- alerts and dashboard


def selectors(expression: Any) -> Iterator[promql.VectorSelector]:
    """Every selector in an expression."""
    if isinstance(expression, promql.VectorSelector):
        yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if isinstance(inner := getattr(expression, name, None), promql.Expr):
            yield from selectors(inner)
    for argument in getattr(expression, "args", ()):
        yield from selectors(argument)


def groupings(expression: Any) -> Iterator[tuple[set[str], Any]]:
    """Every `by (…)` with what it groups."""
    modifier = getattr(expression, "modifier", None)
    if isinstance(expression, promql.AggregateExpr) and modifier is not None:
        yield set(modifier.labels), expression.expr
    for name in ("expr", "lhs", "rhs"):
        if isinstance(inner := getattr(expression, name, None), promql.Expr):
            yield from groupings(inner)
    for argument in getattr(expression, "args", ()):
        yield from groupings(argument)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_asks_only_what_the_endpoints_answer(watched: Watched, name: str) -> None:
    expression = promql.parse(EXPRESSIONS[name].replace("$__rate_interval", "5m"))
    # What Prometheus adds itself to everything that it asks for.
    known = {metric: {*labels, "job", "instance"} for metric, labels in watched.labels.items()}
    known["up"] = {"job", "instance"}
    found = list(selectors(expression))
    assert found
    sources = "\n".join(
        path.read_text() for room in ("supportly", "api", "activities") for path in (ROOT / room).rglob("*.py")
    )
    for selector in found:
        assert selector.name in known, f"{selector.name} is on no endpoint"
        for matcher in selector.matchers.matchers:
            assert matcher.name in known[selector.name], f"{selector.name} has no label {matcher.name}"
            if selector.name.startswith("supportly_") and re.fullmatch(r"[a-z_|]+", matcher.value):
                for word in matcher.value.split("|"):
                    assert f'"{word}"' in sources or word == "5xx", f"nobody writes {matcher.name}={word}"
    for labels, inner in groupings(expression):
        for selector in selectors(inner):
            assert labels <= known[selector.name], f"{selector.name} has no label {labels - known[selector.name]}"


def test_every_job_is_asked_and_every_rule_has_its_section() -> None:
    jobs = {
        job["job_name"]
        for job in yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())["scrape_configs"]
    }
    for rule in ALERTS:
        assert set(re.findall(r'job="([\w-]+)"', rule["expr"])) <= jobs
        assert rule["labels"]["severity"] in ("page", "ticket")
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert anchor == rule["alert"].lower()
        section = re.search(
            rf"^### {rule['alert']}\n(.*?)(?=^##|\Z)", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
        )
        assert section, f"{page} has no section {rule['alert']}"
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in section[1], f"{rule['alert']} lacks {part}"
    titles = re.findall(r"^### (Supportly\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert sorted(titles) == sorted(rule["alert"] for rule in ALERTS)
