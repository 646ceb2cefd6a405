"""Events on their way to a receiver that is there, down, or loses its answers."""

import asyncio
import uuid

import httpx
import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.events import EventActivities, hand_over
from supportly import webhooks
from supportly.contracts import ids
from supportly.contracts.events import EventJob
from supportly.errors import Unavailable
from supportly.http import Outbound
from supportly.settings import Settings
from supportly.storage import events
from supportly.temporal import connect
from tests.caller import until
from tests.events.conftest import SECRET


def test_a_connection_that_needs_a_person_and_one_that_recovers(house) -> None:
    house.connect("hubspot")
    house.lose()
    event = house.hears("connection.needs_attention")
    assert event["data"]["provider"] == "hubspot"
    assert (event["data"]["state"], event["data"]["reason"]) == ("reconnect_required", "revoked_by_user")
    assert set(event["data"]) == {"account_id", "provider", "state", "reason", "connection_id"}
    house.connect("hubspot")
    assert house.hears("connection.recovered")["data"]["state"] == "connected"
    until(lambda: set(house.rows().values()) == {"delivered"})
    assert not house.service.control("GET", "/receiver/records", params={"kind": "refusal"})


def test_a_sync_that_ended_and_deletions_that_wait(house) -> None:
    house.connect("zendesk", subdomain="acme")
    house.client.send(house.me.change_settings("zendesk", {"streams": ["articles"]}))
    report = house.client.send(house.me.sync_knowledge("zendesk"))
    event = house.hears("knowledge.synced")
    assert event["data"]["run_id"] == report.run_id
    assert event["data"]["state"] == report.state
    assert event["data"]["counts"] == report.counts.model_dump()


def test_an_answer_that_is_lost_brings_the_same_event_again(house) -> None:
    house.fault(cut="after_commit", times=1)
    house.connect("hubspot")
    house.lose()
    event = house.hears("connection.needs_attention", times=2)
    assert event["deliveries"] == 2
    until(lambda: house.rows()["connection.needs_attention"] == "delivered")


def test_a_receiver_that_is_down_hears_it_later(house) -> None:
    house.fault(cut="before", times=1)
    house.fault(status=503, retry_after=1, times=2)
    house.connect("hubspot")
    house.lose()
    event = house.hears("connection.needs_attention")
    assert event["deliveries"] == 1
    sent = house.service.control("GET", "/requests", params={"provider": "receiver"})
    mine = [r for r in sent if r["headers"].get("webhook-id") == event["id"]]
    assert len(mine) == 4
    assert len({r["headers"]["webhook-timestamp"] for r in mine}) > 1, "each attempt carries its own time"


def test_a_receiver_that_wants_no_more_is_left_alone(house) -> None:
    house.fault(status=410, times=1)
    house.connect("hubspot")
    house.lose()
    until(lambda: house.rows().get("connection.needs_attention") == "failed")
    assert house.told() == []


def test_a_kind_that_is_switched_off_is_not_sent(house, monkeypatch) -> None:
    monkeypatch.setattr(house.service.settings, "events", "knowledge.synced")
    house.connect("hubspot")
    house.lose()
    until(lambda: house.rows() == {"connection.needs_attention": "off"})
    assert house.told() == []


def test_temporal_sees_ids_alone(house) -> None:
    house.connect("hubspot")
    house.lose()
    event = house.hears("connection.needs_attention")

    async def history() -> str:
        client = await connect(house.service.settings)
        handle = client.get_workflow_handle(ids.event(house.me.account_id, "hubspot", event["id"]))
        assert await handle.result() == "delivered"
        return (await handle.fetch_history()).to_json()

    recorded = asyncio.run(history())
    for hidden in (SECRET, "revoked_by_user", "_receiver"):
        assert hidden not in recorded


class Interrupted:
    """Temporal's client of a process that is killed before, or after, it has started a delivery."""

    def __init__(self, client, *, after: bool) -> None:
        self._client, self._after = client, after

    async def start_workflow(self, *arguments, **options) -> None:
        if self._after:
            await self._client.start_workflow(*arguments, **options)
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True], ids=["before the start", "after the start"])
async def test_a_process_that_is_killed_while_it_hands_over_loses_nothing(events_on, db, account_id, after) -> None:
    settings = events_on.settings
    client = await connect(settings)
    async with db.tenant(account_id) as c:
        await events.note(c, account_id, "hubspot", "connection.recovered", {"state": "connected"})
    [event] = await events.pending(db, account_id, settings.event_kinds)
    with pytest.raises(KeyboardInterrupt):
        await hand_over(db, Interrupted(client, after=after), settings, account_id)
    # What Temporal does with an activity whose worker died.
    await hand_over(db, client, settings, account_id)
    handle = client.get_workflow_handle(ids.event(account_id, "hubspot", event.id))
    assert await handle.result() == "delivered"
    runs = [w async for w in client.list_workflows(f'WorkflowId = "{ids.event(account_id, "hubspot", event.id)}"')]
    assert len(runs) <= 1  # the list is brought up to date a moment later
    assert (await handle.describe()).status == WorkflowExecutionStatus.COMPLETED
    # Handed over once more, long afterwards: it has ended.
    assert await events.pending(db, account_id, settings.event_kinds) == []
    found = events_on.control("GET", "/receiver/records", params={"kind": "event"})
    assert [e["deliveries"] for e in found if e["id"] == event.id] == [1]


async def test_while_temporal_is_away_the_change_is_not_done(db, account_id, events_on) -> None:
    from temporalio.service import RPCError, RPCStatusCode

    class Away:
        async def start_workflow(self, *arguments, **options) -> None:
            raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    async with db.tenant(account_id) as c:
        await events.note(c, account_id, "hubspot", "connection.recovered", {})
    with pytest.raises(Unavailable):
        await hand_over(db, Away(), events_on.settings, account_id)
    assert len(await events.pending(db, account_id, events_on.settings.event_kinds)) == 1


async def test_without_an_address_what_waits_is_put_off(db, account_id) -> None:
    async with db.tenant(account_id) as c:
        await events.note(c, account_id, "hubspot", "connection.recovered", {})
    nobody = None  # no client is asked
    await hand_over(db, nobody, Settings(events_url=""), account_id)
    assert await events.pending(db, account_id, ["connection.recovered"]) == []


async def test_a_change_that_is_not_committed_tells_nothing(db, account_id) -> None:
    with pytest.raises(RuntimeError):
        async with db.tenant(account_id) as c:
            await events.note(c, account_id, "hubspot", "connection.recovered", {})
            raise RuntimeError
    assert await events.pending(db, account_id, ["connection.recovered"]) == []


class TestOneAttempt:
    """The activity, with a receiver in this process."""

    @pytest.fixture
    async def attempt(self, db, account_id):
        async with db.tenant(account_id) as c:
            await events.note(c, account_id, "hubspot", "connection.recovered", {"state": "connected"})
        [event] = await events.pending(db, account_id, ["connection.recovered"])
        seen: list[httpx.Request] = []

        async def run(answer: httpx.Response, **settings) -> str:
            def receive(request: httpx.Request) -> httpx.Response:
                seen.append(request)
                return answer

            url = settings.pop("events_url", "https://hooks.example.com/events")
            chosen = Settings.model_construct(
                **{
                    **Settings(events_url=url.replace("ftp:", "http:"), events_secrets=SECRET).model_dump(),
                    "events_url": url,
                    **settings,
                }
            )
            outbound = Outbound(timeout_s=5, max_bytes=1000, transport=httpx.MockTransport(receive))
            job = EventJob(account_id=account_id, provider="hubspot", event_id=event.id)
            return await EventActivities(db, outbound, chosen).deliver(job)

        run.seen, run.event = seen, event
        return run

    async def test_what_is_sent(self, attempt, account_id) -> None:
        assert await attempt(httpx.Response(204)) == "delivered"
        [sent] = attempt.seen
        at = int(sent.headers["webhook-timestamp"])
        keys = Settings(events_secrets=SECRET).event_keys
        assert sent.headers.items() >= webhooks.headers(attempt.event.id, at, sent.content, keys).items()
        assert uuid.UUID(sent.headers["webhook-id"])
        # Delivered is delivered: nothing goes out again.
        assert await attempt(httpx.Response(204)) == "delivered"
        assert len(attempt.seen) == 1

    @pytest.mark.parametrize(
        ("answer", "kind", "final", "pause"),
        [
            (httpx.Response(500), "unavailable", False, None),
            (httpx.Response(404), "unavailable", False, None),
            (httpx.Response(302, headers={"location": "https://elsewhere.example"}), "unavailable", False, None),
            (httpx.Response(429, headers={"retry-after": "7"}), "throttled", False, 7),
            (httpx.Response(410), "event_refused", True, None),
        ],
    )
    async def test_what_an_answer_means(self, attempt, answer, kind, final, pause) -> None:
        from temporalio.exceptions import ApplicationError

        with pytest.raises(ApplicationError) as caught:
            await attempt(answer)
        assert (caught.value.type, caught.value.non_retryable) == (kind, final)
        assert pause is None or caught.value.next_retry_delay.total_seconds() == pause
        assert len(attempt.seen) == 1

    @pytest.mark.parametrize(
        "url",
        ["http://hooks.example.com", "https://10.0.0.1/x", "https://hooks.example.com:8443/x", "https://a@b.example"],
    )
    async def test_in_production_only_https_on_a_named_host_is_reached(self, attempt, url) -> None:
        from temporalio.exceptions import ApplicationError

        with pytest.raises(ApplicationError) as caught:
            await attempt(httpx.Response(204), events_url=url, environment="production")
        assert caught.value.type == "event_refused"
        assert attempt.seen == []

    async def test_without_an_address_it_is_off(self, attempt) -> None:
        assert await attempt(httpx.Response(204), events_url="") == "off"
        assert attempt.seen == []
