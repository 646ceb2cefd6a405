"""What is particular about Slack: refusals under 200, optional rotation, tiers, control characters, terms of use."""

from __future__ import annotations

import httpx
import pytest

from activities.writes import maybe_done
from supportly.contracts.contacts import ActivityJob, Contact
from supportly.contracts.contacts import Record as ContactRecord
from supportly.errors import InvalidInput, OutcomeUnknown, ProviderFailure, Throttled
from supportly.http import Answer
from supportly.oauth import ClientRefused, GrantRefused
from supportly.providers import get
from supportly.providers.slack import SCOPES, Contract, Slack
from supportly.providers.slack.api import LONGEST, SECTION, escaped, sections
from tests.providers.harness import World

ADA = Contact(id=7, name="Ada Lovelace", email="ada@example.com", phone_number="+442071838750")
GENERAL = "C0GENERAL"
NOBODY = ContactRecord(id="")


@pytest.fixture
def world():
    return World(get("slack"))


def job(kind="note", content="Called about it", **more):
    return ActivityJob(
        account_id=1, provider="slack", contact_id=7, operation_id="op-1", kind=kind, content=content, **more
    )


def message(world, days, text, **more):
    at = world.sandbox.clock.now() - days * 86_400
    return {"channel": GENERAL, "ts": f"{at:.0f}.000100", "text": text, **more}


async def read(world, call, since=None):
    """All documents of a walk by their text, and the pages that it took."""
    documents, cursor, pages = [], None, 0
    while True:
        page = await world.provider.read_stream(call, "channels", cursor, since)
        assert page.failures == []
        documents += page.documents
        pages += 1
        if (cursor := page.next) is None:
            return documents, pages


# --- connecting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotating", [True, False])
async def test_tokens_end_only_where_rotation_is_on(world, rotating):
    world.double.configure({"rotating": rotating, "access_token_ttl": 43_200})
    tokens = await world.tokens()
    if rotating:
        assert (tokens.expires_at - world.now).total_seconds() == pytest.approx(43_200, abs=2)
        fresh = await world.refresh(tokens)
        assert fresh.refresh_token != tokens.refresh_token
        with pytest.raises(GrantRefused):  # a refresh token works once
            await world.refresh(tokens)
    else:
        assert (tokens.expires_at, tokens.refresh_token) == (None, None)
    assert (await world.provider.identify(world.http(tokens))).tenant_key == "T0SANDBOX"


@pytest.mark.parametrize(("method", "told", "window"), [
    ("conversations.history", 58, 60), ("conversations.history", 5, 5), ("users.list", 58, 58),
])  # fmt: skip
def test_a_long_pause_of_a_read_is_the_pace_of_a_page_a_minute(world, method, told, window):
    answer = Answer(429, httpx.Headers({"retry-after": str(told)}), b"", "GET", f"/api/{method}")
    assert [h.window_s for h in world.provider.headroom(answer, "a")] == [window]


async def test_the_secret_goes_as_basic_and_no_proof_key_is_sent(world):
    await world.tokens()
    sent = world.requests("/api/oauth.v2.access")[-1].request
    assert sent.headers["authorization"].startswith("Basic ")
    assert not {"client_secret", "code_verifier"} & set(sent.object)
    asked = world.requests("/oauth/v2/authorize")[-1].request.query
    assert "code_challenge" not in asked
    assert "," in asked["scope"]


@pytest.mark.parametrize(("word", "kind"), [
    ("invalid_code", GrantRefused), ("code_already_used", GrantRefused), ("bad_redirect_uri", GrantRefused),
    ("oauth_authorization_url_mismatch", GrantRefused), ("invalid_refresh_token", GrantRefused),
    ("token_revoked", GrantRefused), ("bad_client_secret", ClientRefused), ("invalid_client_id", ClientRefused),
    ("ratelimited", Throttled), ("invalid_grant_type", ProviderFailure), ("internal_error", ProviderFailure),
])  # fmt: skip
def test_the_token_endpoint_says_no_under_200(world, word, kind):
    refusal = world.provider.read_refusal(200, {"ok": False, "error": word})
    assert type(refusal) is kind
    assert refusal.retryable == (word in ("ratelimited", "internal_error"))


async def test_a_user_without_the_app_is_no_connection(world):
    world.double.configure({"user_only": True})
    with pytest.raises(GrantRefused, match="install the app"):
        await world.tokens()


async def test_a_permission_that_was_not_granted_is_named_when_connecting(world):
    world.double.configure({"withheld": ["users:read.email", "channels:history"]})
    with pytest.raises(ProviderFailure) as lacking:
        await world.provider.identify(world.http(await world.tokens()))
    assert lacking.value.details["missing_scope"] == ["users:read.email"]  # the other one is optional


async def test_a_whole_organization_has_its_own_key_and_lists_name_the_workspace(world):
    world.double.configure({"org_install": True, "enterprise": "E0GROUP", "team": "T0ONE"})
    call = await world.call()
    assert call.facts["org_install"] == "true"
    assert (await world.provider.identify(call.http)).tenant_key == "E0GROUP"
    with pytest.raises(InvalidInput) as unnamed:
        await run(world, call, "list_users")
    assert unnamed.value.details["field"] == "settings.team_id"
    chosen = await world.call(team_id="T0ONE")
    await run(world, chosen, "list_users")
    assert world.requests("/api/users.list")[-1].request.query["team_id"] == "T0ONE"


async def test_disconnecting_revokes_the_token(world):
    http, tokens = await world.connect(), await world.tokens()
    assert await world.provider.revoke(http, tokens, None) is True
    assert world.double.grants[0].revoked
    assert await world.provider.revoke(http, tokens, None) is True  # it is gone already


def test_scopes_that_read_messages_can_be_left_out():
    narrow = Slack(Contract(scopes="chat:write,users:read"))
    assert [s.name for s in narrow.oauth.scopes] == ["chat:write", "users:read"]
    assert Slack(Contract()).oauth.scopes == SCOPES


# --- answers ----------------------------------------------------------------------------------------------------------


async def test_a_refusal_under_200_is_final_and_a_passing_one_may_have_happened(world):
    call = await world.call()
    for word, maybe in (("is_archived", False), ("missing_scope", False), ("internal_error", True)):
        world.fault(method="POST", path="/api/chat.postMessage", status=200, body={"ok": False, "error": word})
        with pytest.raises(ProviderFailure) as refused:
            await call.http.post("/chat.postMessage", {"channel": GENERAL, "text": "x"})
        assert maybe_done(refused.value) == maybe
        assert refused.value.retryable == maybe


async def test_a_missing_scope_is_named(world):
    world.double.configure({"withheld": ["channels:history"]})
    call = await world.call(channels=[GENERAL])
    with pytest.raises(ProviderFailure) as refused:
        await world.provider.read_stream(
            call, "channels", (await world.provider.read_stream(call, "channels", None, None)).next, None
        )
    assert refused.value.details["missing_scope"] == "channels:history"


# --- what is posted ---------------------------------------------------------------------------------------------------


async def test_words_of_a_customer_call_nobody(world):
    call = await world.call(channel=GENERAL)
    await world.provider.log(call, NOBODY, job(content="<!channel> <@U1> & <https://evil.example|click>"))
    (stored,) = world.double.records["message"].values()
    for text in (stored["text"], stored["blocks"][0]["text"]["text"]):
        assert "<" not in text
        assert "&lt;!channel&gt;" in text


async def test_plain_words_name_nobody_either_and_blocks_go_as_they_are_given(world):
    call = await world.call(channel=GENERAL)
    await world.provider.log(call, NOBODY, job(content="Tell @channel and #general"))
    sent = world.requests("/api/chat.postMessage")[-1].request.object
    assert all(block["text"]["verbatim"] is True for block in sent["blocks"])
    given = [{"type": "header", "text": {"type": "plain_text", "text": "Hi"}}, {"type": "divider"}]
    await run(world, call, "post_message", channel_id=GENERAL, text="Hi", blocks=given)
    sent = world.requests("/api/chat.postMessage")[-1].request.object
    assert [{k: v for k, v in block.items() if k != "block_id"} for block in sent["blocks"]] == given
    found = world.provider.actions["post_message"]
    asked = found.params(channel_id=GENERAL, text="Hi", blocks=given)
    assert (await found.find(world.provider, call, asked)).result["text"] == "Hi"


def test_long_texts_are_cut_between_characters():
    blocks = sections("&" * 2000)
    texts = [b["text"]["text"] for b in blocks]
    assert "".join(texts) == "&amp;" * 2000
    assert all(len(t) <= SECTION and len(t) % 5 == 0 for t in texts)
    with pytest.raises(InvalidInput) as refused:
        sections("x" * (LONGEST + 1))
    assert refused.value.details["field"] == "content"
    assert escaped("a & b") == "a &amp; b"


async def test_an_activity_needs_no_member_but_a_channel(world):
    assert world.provider.activity_needs_record is False
    call = await world.call()
    with pytest.raises(InvalidInput) as unplaced:
        await world.provider.log(call, NOBODY, job())
    assert unplaced.value.details["field"] == "settings.channel"
    for target in ("general", "#general", f"{GENERAL}:1", "https://slack.com", "U0123456789"):
        with pytest.raises(InvalidInput) as refused:
            await world.provider.log(call, NOBODY, job(target=target))
        assert refused.value.details["field"] == "target"


async def test_a_later_activity_answers_in_the_thread_of_the_first(world):
    call = await world.call(channel=GENERAL)
    first = await world.provider.log(call, NOBODY, job())
    assert first.url.startswith("https://sandbox.slack.com/archives/C0GENERAL/p")
    await world.provider.log(call, NOBODY, job(target=first.id))
    second = list(world.double.records["message"].values())[-1]
    assert second["thread_ts"] == first.id.partition(":")[2]
    assert (await world.provider.find_logged(call, NOBODY, job(target=first.id))) is not None


async def test_a_public_channel_is_joined_once_and_a_private_one_has_to_invite(world):
    world.double.configure({"withheld": ["chat:write.public"]})
    world.seed(channels=[{"id": "C0OTHER", "name": "other", "is_member": False}])
    call = await world.call(channel="C0OTHER")
    await world.provider.log(call, NOBODY, job())
    assert [r.request.path.rpartition("/")[2] for r in world.requests(method="POST")][:3] == [
        "chat.postMessage", "conversations.join", "chat.postMessage",
    ]  # fmt: skip
    world.double.configure({"withheld": ["chat:write.public", "channels:join"]})
    world.seed(channels=[{"id": "C0OTHER", "is_member": False}])
    with pytest.raises(ProviderFailure, match="invite it"):
        await world.provider.log(await world.call(channel="C0OTHER"), NOBODY, job())


async def test_a_lost_message_is_found_in_its_channel_or_reported_as_unknown(world):
    call = await world.call(channel=GENERAL)
    world.fault(method="POST", path="/api/chat.postMessage", cut="after_commit")
    with pytest.raises(ProviderFailure):
        await world.provider.log(call, NOBODY, job())
    world.seed(messages=[message(world, -0.01 * n, f"Noise {n}") for n in range(1, 21)])
    assert (await world.provider.find_logged(call, NOBODY, job())).id
    world.seed(messages=[message(world, -1 - 0.01 * n, f"Noise {n}") for n in range(100)])
    with pytest.raises(OutcomeUnknown):  # too much has been said since
        await world.provider.find_logged(call, NOBODY, job())
    world.double.configure({"withheld": ["channels:history"]})
    with pytest.raises(OutcomeUnknown):
        await world.provider.find_logged(await world.call(channel=GENERAL), NOBODY, job())


async def test_a_quiet_channel_is_certain_that_nothing_was_sent(world):
    world.seed(messages=[message(world, 2 + n, f"Old {n}") for n in range(40)])
    call = await world.call(channel=GENERAL)
    assert await world.provider.find_logged(call, NOBODY, job()) is None
    assert len(world.requests("/api/conversations.history")) == 1


# --- members ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["not_found", "deleted"])
async def test_a_deactivated_member_is_not_found(world, answer):
    world.double.configure({"gone_members": answer})
    (key,) = world.seed(users=[{"deleted": True, "profile": {"email": "ada@example.com"}}])
    call = await world.call()
    assert await world.provider.find(call, ADA, None) == []
    assert await world.provider.by_id(call, key) is None


async def test_without_the_permission_for_addresses_members_have_none(world):
    world.seed(users=[{"id": "U0ADA", "real_name": "Ada", "profile": {"email": "ada@example.com"}}])
    http = world.http(await world.tokens())
    world.double.grants[-1].scope = ("users:read",)
    record = await world.provider.by_id(type(await world.call())(http), "U0ADA")
    assert (record.name, record.email) == ("Ada", None)


# --- actions ----------------------------------------------------------------------------------------------------------


async def run(world, call, name, **params):
    action = world.provider.actions[name]
    return await action.run(world.provider, call, action.params.model_validate(params))


async def test_an_empty_page_is_not_the_end(world):
    world.double.configure({"empty_page": True})
    call = await world.call()
    page = await run(world, call, "list_channels")
    assert page.items == []
    assert [c["id"] for c in (await run(world, call, "list_channels", cursor=page.next_cursor)).items] == [GENERAL]


async def test_private_channels_are_silently_absent_without_their_scope(world):
    world.seed(channels=[{"id": "C0PRIVATE", "is_private": True}])
    call = await world.call()
    assert len((await run(world, call, "list_channels")).items) == 2
    world.double.grants[-1].scope = ("channels:read",)
    assert [c["id"] for c in (await run(world, call, "list_channels")).items] == [GENERAL]


async def test_bots_and_deactivated_accounts_are_no_people(world):
    world.seed(users=[{"id": "U0ADA"}, {"id": "U0GONE", "deleted": True}, {"id": "U0BOT", "is_bot": True},
                      {"id": "USLACKBOT"}])  # fmt: skip
    assert [u["id"] for u in (await run(world, await world.call(), "list_users")).items] == ["U0ADA"]


async def test_deleting_twice_is_deleting_once(world):
    call = await world.call()
    made = (await run(world, call, "post_message", channel_id=GENERAL, text="x")).result
    for _ in range(2):
        answer = await run(world, call, "delete_message", channel_id=GENERAL, ts=made["ts"])
        assert answer.result["deleted"] is True
    assert world.double.records["message"] == {}


async def test_direct_messages_name_people_in_one_text(world):
    world.seed(users=[{"id": "U0ADA"}, {"id": "U0BEN"}])
    await run(world, await world.call(), "open_dm", user_ids=["U0ADA", "U0BEN"])
    assert world.requests("/api/conversations.open")[-1].request.object == {"users": "U0ADA,U0BEN"}


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "limit", "window"), [
    ("conversations.list", 20, 60), ("users.list", 20, 60), ("users.info", 100, 60), ("conversations.info", 50, 60),
    ("conversations.history", 50, 60), ("users.lookupByEmail", 50, 60), ("chat.update", 50, 60),
    ("chat.postMessage", 1, 1),
])  # fmt: skip
def test_each_method_has_its_tier(world, method, limit, window):
    (cost,) = world.provider.costs("GET", f"/api/{method}", "a")
    assert (cost.bucket, cost.limit, cost.window_s) == (f"slack:a:{method}", limit, window)


@pytest.mark.parametrize("word", ["ratelimited", "rate_limited"])
async def test_both_words_for_a_limit_are_a_pause(world, word):
    world.double.configure({"rate_limits": True, "limit_error": word})
    call = await world.call()
    with pytest.raises(Throttled):
        for _ in range(2):
            await run(world, call, "post_message", channel_id=GENERAL, text="x")


async def test_a_refusal_empties_the_methods_bucket_for_all(world):
    world.double.configure({"rate_limits": True})
    call, seen = await world.call(channels=[GENERAL]), []

    class Notes:
        async def spend(self, costs, lane):
            return 0.0

        async def learn(self, headroom):
            seen.extend(headroom)

    call.http.budget = Notes()
    with pytest.raises(Throttled) as refused:
        for _ in range(2):
            await call.http.get("/conversations.history", {"channel": GENERAL})
    assert refused.value.retry_after > 50
    assert [(h.bucket.rpartition(":")[2], h.remaining) for h in seen] == [("conversations.history", 0)]


# --- knowledge --------------------------------------------------------------------------------------------------------


async def test_nothing_is_read_until_somebody_chooses(world):
    assert not any(stream.default for stream in world.provider.streams)
    assert "terms" in world.provider.notice
    world.seed(messages=[message(world, 1, "Hello")])
    documents, _ = await read(world, await world.call())
    assert documents == []


async def test_a_thread_is_one_document_however_many_pages_it_takes(world):
    head = message(world, 2, "How do I reset it?")
    world.seed(messages=[head, *(
        {**message(world, 1 - n / 100, f"Answer {n}"), "thread_ts": head["ts"]} for n in range(20)
    ), message(world, 3, "Alone")])  # fmt: skip
    call = await world.call(channels=[GENERAL], page_size=6)
    documents, pages = await read(world, call)
    assert pages > 4
    by_title = {d.title: d for d in documents}
    assert set(by_title) == {"How do I reset it?", "Alone"}
    body = by_title["How do I reset it?"].body
    assert [body.count(f"Answer {n}\n") + body.endswith(f"Answer {n}") for n in range(20)] == [1] * 20
    assert body.count("How do I reset it?") == 1
    assert by_title["Alone"].external_id.startswith(f"T0SANDBOX:{GENERAL}:")


async def test_every_page_is_one_call_so_that_a_slow_app_gets_on(world):
    head = message(world, 2, "Question")
    world.seed(messages=[head, {**message(world, 1, "Answer"), "thread_ts": head["ts"]}, message(world, 3, "Alone")])
    call = await world.call(channels=[GENERAL])
    cursor = (await world.provider.read_stream(call, "channels", None, None)).next
    while cursor:
        world.sandbox.recorder.ring.clear()
        cursor = (await world.provider.read_stream(call, "channels", cursor, None)).next
        slow = [r for r in world.requests() if r.request.path.endswith((".history", ".replies"))]
        assert len(slow) == 1


async def test_a_new_reply_to_an_old_question_is_found_by_reading_again(world):
    head = message(world, 8, "Question")
    world.seed(messages=[head, message(world, 25, "Old")])
    call = await world.call(channels=[GENERAL], lookback_days=10)
    page = await world.provider.read_stream(call, "channels", None, None)
    world.seed(messages=[{**message(world, 0, "Answer"), "thread_ts": head["ts"]}])
    documents, _ = await read(world, call, page.checkpoint)
    assert [d.body for d in documents] == ["Question\n\nAnswer"]  # and nothing that is older than the window


async def test_retention_ends_what_is_kept(world):
    world.seed(messages=[message(world, 29, "Young"), message(world, 31, "Old")])
    documents, _ = await read(world, await world.call(channels=[GENERAL]))
    assert [d.title for d in documents] == ["Young"]


async def test_what_is_said_by_nobody_is_no_document(world):
    world.seed(messages=[
        message(world, 1, "joined", subtype="channel_join"), message(world, 2, "a bot", subtype="bot_message"),
        message(world, 3, "This message was deleted.", subtype="tombstone"), message(world, 4, "ours", bot_id="B0BOT"),
        message(world, 5, ""), message(world, 6, "Words"),
    ])  # fmt: skip
    documents, _ = await read(world, await world.call(channels=[GENERAL]))
    assert [d.title for d in documents] == ["Words"]


@pytest.mark.parametrize(("facts", "private", "readable"), [
    ({"is_ext_shared": True}, True, False), ({"is_private": True}, False, False), ({"is_private": True}, True, True),
    ({}, False, True),
])  # fmt: skip
async def test_what_may_not_be_copied_is_not_read_even_when_it_is_chosen(world, facts, private, readable):
    world.seed(channels=[{"id": GENERAL, **facts}], messages=[message(world, 1, "Hello")])
    call = await world.call(channels=[GENERAL], private_channels=private)
    documents, _ = await read(world, call)
    assert [d.title for d in documents] == (["Hello"] if readable else [])
    key = f"T0SANDBOX:{GENERAL}:{next(iter(world.double.records['message'].values()))['ts']}"
    assert await world.provider.is_gone(call, "channels", key) is not readable


async def test_control_sequences_become_words(world):
    world.seed(
        users=[{"id": "U0ADA", "real_name": "Ada"}],
        messages=[
            message(world, 1, "<@U0ADA> <@U0GONE> see <#C1|help> <!here> <https://a.example|this> &lt;b&gt; &amp;")
        ],
    )
    ((only,), _) = await read(world, await world.call(channels=[GENERAL]))
    assert only.body == "@Ada @member see #help @here [this](https://a.example) <b> &"
    assert only.audience == "internal"


@pytest.mark.parametrize("gone", [{"_deleted": True}, {"is_private": True, "is_member": False}])
async def test_a_channel_that_the_app_cannot_see_any_more_is_named_and_nothing_is_kept_of_it(world, gone):
    world.seed(messages=[message(world, 1, "Hello")])
    call = await world.call(channels=[GENERAL], private_channels=True)
    ((only,), _) = await read(world, call)
    assert await world.provider.is_gone(call, "channels", only.external_id) is False
    world.seed(channels=[{"id": GENERAL, **gone}])
    with pytest.raises(InvalidInput, match=GENERAL) as refused:  # an empty walk would delete without a word
        await read(world, call)
    assert refused.value.details["field"] == "settings.channels"
    assert await world.provider.is_gone(call, "channels", only.external_id) is True


async def test_a_channel_that_is_no_channel_names_the_setting(world):
    for wrong in ("general", "D0123456789"):
        with pytest.raises(InvalidInput) as refused:
            await world.provider.read_stream(await world.call(channels=[wrong]), "channels", None, None)
        assert refused.value.details["field"] == "settings.channels"
