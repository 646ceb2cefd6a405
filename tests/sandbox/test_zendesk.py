import pytest

API, HC = "/api/v2", "/api/v2/help_center"


@pytest.fixture
async def zendesk(world):
    token = (await world.connect("zendesk"))["access_token"]

    async def call(method, path, **more):
        return await world.call("zendesk", method, path, token, **more)

    return call


async def user(zendesk, **fields):
    return await zendesk("POST", f"{API}/users", json={"user": {"name": "Ada", "skip_verify_email": True, **fields}})


async def test_search_matches_parts_and_lags(world, zendesk):
    await user(zendesk, email="ada@b.co", external_id="S-1")
    await user(zendesk, email="ada@b.com", name="Other")
    found = (await zendesk("GET", f"{API}/users/search", params={"query": "email:ada@b.co"})).json()
    assert found["count"] == 2  # one of them only in part: the client has to compare
    by_id = (await zendesk("GET", f"{API}/users/show_many?external_ids=s-1")).json()["users"]
    assert [u["email"] for u in by_id] == ["ada@b.co"]
    await world.control("POST", "zendesk/settings", {"search_lag_seconds": 60})
    await user(zendesk, email="late@b.co")
    assert (await zendesk("GET", f"{API}/users/search?query=late@b.co")).json()["count"] == 0


async def test_duplicates_are_invalid_and_an_email_update_adds_an_identity(zendesk):
    made = (await user(zendesk, email="a@b.co")).json()["user"]
    again = await user(zendesk, email="A@b.co")
    assert (again.status_code, again.json()["error"]) == (422, "RecordInvalid")
    assert again.json()["details"]["email"][0]["error"] == "DuplicateValue"
    await zendesk("PUT", f"{API}/users/{made['id']}", json={"user": {"email": "new@b.co", "name": "Ada B"}})
    after = (await zendesk("GET", f"{API}/users/{made['id']}")).json()["user"]
    assert (after["email"], after["name"]) == ("a@b.co", "Ada B")
    rows = (await zendesk("GET", f"{API}/users/{made['id']}/identities")).json()["identities"]
    assert [row["value"] for row in rows] == ["new@b.co"]
    await zendesk("PUT", f"{API}/users/{made['id']}/identities/{rows[0]['id']}/make_primary")
    assert (await zendesk("GET", f"{API}/users/{made['id']}")).json()["user"]["email"] == "new@b.co"


async def test_upsert_tells_new_from_known_and_is_limited(world, zendesk):
    body = {"user": {"name": "Ada", "email": "a@b.co"}}
    assert (await zendesk("POST", f"{API}/users/create_or_update", json=body)).status_code == 201
    limited = await zendesk("POST", f"{API}/users/create_or_update", json=body)
    assert limited.status_code == 429
    assert "retry-after" in limited.headers
    await world.control("POST", "clock", {"advance": 2})
    assert (await zendesk("POST", f"{API}/users/create_or_update", json=body)).status_code == 200


async def test_a_ticket_is_made_once_per_idempotency_key(world, zendesk):
    requester = (await user(zendesk, email="a@b.co")).json()["user"]["id"]
    body = {"ticket": {"subject": "S", "comment": {"body": "note", "public": False}, "requester_id": requester}}
    first, second = [
        await zendesk("POST", f"{API}/tickets", json=body, headers={"idempotency-key": "k"}) for _ in range(2)
    ]
    assert [r.headers["x-idempotency-lookup"] for r in (first, second)] == ["miss", "hit"]
    assert first.json()["ticket"]["id"] == second.json()["ticket"]["id"]
    other = await zendesk("POST", f"{API}/tickets", json={"ticket": {}}, headers={"idempotency-key": "k"})
    assert (other.status_code, other.json()["error"]) == (400, "IdempotentRequestError")
    number = first.json()["ticket"]["id"]
    await zendesk("PUT", f"{API}/tickets/{number}", json={"ticket": {"comment": {"body": "inherits"}}})
    comments = (await zendesk("GET", f"{API}/tickets/{number}/comments")).json()["comments"]
    assert [(c["body"], c["public"]) for c in comments] == [("note", False), ("inherits", False)]
    requested = (await zendesk("GET", f"{API}/users/{requester}/tickets/requested?page[size]=100")).json()
    assert [t["id"] for t in requested["tickets"]] == [number]
    await world.control("POST", "zendesk/seed", {"tickets": [{"id": number, "status": "closed"}]})
    closed = await zendesk("PUT", f"{API}/tickets/{number}", json={"ticket": {"status": "open"}})
    assert closed.status_code == 422


async def test_ticket_search_stops_at_a_thousand(world, zendesk):
    await world.control(
        "POST", "zendesk/seed", {"tickets": [{"subject": "printer", "status": "open"}, {"subject": "x"}]}
    )
    found = (await zendesk("GET", f"{API}/search", params={"query": "type:ticket status<solved printer"})).json()
    assert (found["count"], found["results"][0]["result_type"]) == (1, "ticket")
    assert (await zendesk("GET", f"{API}/search?query=type:ticket&page=11")).status_code == 422
    export = await zendesk("GET", f"{API}/search/export?filter[type]=ticket&page[size]=1&query=")
    assert export.json()["meta"]["has_more"] is True


async def test_incremental_articles_walk_everything_and_an_empty_diff_answers_one(world, zendesk):
    await world.control("POST", "zendesk/seed", {"generate": {"articles": 2500, "seed": 3}})
    seen, start = set(), 0
    for _ in range(10):
        page = (await zendesk("GET", f"{HC}/incremental/articles?start_time={start}")).json()
        assert page["count"] <= 1000
        seen |= {article["id"] for article in page["articles"]}
        start = page["end_time"]
        if not page["next_page"]:
            break
    assert len(seen) == 2500
    empty = (await zendesk("GET", f"{HC}/incremental/articles?start_time={start + 1}")).json()
    assert (empty["articles"], empty["end_time"], empty["next_page"]) == ([], 1, None)


async def test_equal_time_stamps_do_not_loop(world, zendesk):
    await world.control("POST", "zendesk/settings", {"page_size_max": 2})
    same = [{"title": str(n), "body": "b", "updated_at": "2026-01-01T00:00:00Z"} for n in range(5)]
    later = [{"title": "later", "body": "b", "updated_at": "2026-01-02T00:00:00Z"}]
    await world.control("POST", "zendesk/seed", same + later)
    page = (await zendesk("GET", f"{HC}/incremental/articles?start_time=0")).json()
    following = (await zendesk("GET", f"{HC}/incremental/articles?start_time={page['end_time']}")).json()
    if following["next_page"]:
        following = (await zendesk("GET", f"{HC}/incremental/articles?start_time={following['end_time']}")).json()
    assert [article["title"] for article in following["articles"]] == ["later"]


async def test_articles_page_by_cursor_in_locales_and_vanish(world, zendesk):
    texts = [{"locale": "en-us", "title": "Hello", "body": "x"}, {"locale": "de", "title": "Hallo", "body": "y"}]
    seeded = await world.control("POST", "zendesk/seed", [{"translations": texts}, *[{"title": "T", "body": "B"}] * 4])
    url, ids = f"{HC}/articles.json?page[size]=2&include=translations", []
    while url:
        page = (await zendesk("GET", url.removeprefix("https://acme.zendesk.com"))).json()
        ids += [article["id"] for article in page["articles"]]
        url = page["links"]["next"] if page["meta"]["has_more"] else None
    assert ids == seeded["ids"]
    first = (await zendesk("GET", f"{HC}/articles?include=translations")).json()["articles"][0]
    assert [item["title"] for item in first["translations"]] == ["Hello", "Hallo"]
    german = (await zendesk("GET", f"{HC}/de/articles/{ids[0]}")).json()["article"]
    assert (german["title"], german["locale"]) == ("Hallo", "de")
    assert (await zendesk("GET", f"{HC}/de/articles/{ids[1]}")).status_code == 404
    rows = (await zendesk("GET", f"{HC}/articles/{ids[0]}/translations?draft=false")).json()["translations"]
    assert {row["locale"] for row in rows} == {"en-us", "de"}
    found = (await zendesk("GET", f"{HC}/articles/search?query=hallo&locale=de")).json()["results"]
    assert [row["id"] for row in found] == [ids[0]]
    await world.control("POST", "zendesk/seed", [{"id": ids[0], "_kind": "article", "_deleted": True}])
    gone = await zendesk("GET", f"{HC}/articles/{ids[0]}")
    assert (gone.status_code, gone.json()["error"]) == (404, "RecordNotFound")


async def test_limits_answer_plain_text(world, zendesk):
    await world.control("POST", "zendesk/settings", {"incremental_per_minute": 1})
    url = f"{HC}/incremental/articles?start_time=0"
    first, second = await zendesk("GET", url), await zendesk("GET", url)
    assert first.headers["zendesk-ratelimit-incremental-exports"].startswith("total=1;remaining=0")
    assert (second.status_code, second.headers["content-type"]) == (429, "text/plain; charset=utf-8")
    assert int(second.headers["retry-after"]) <= 61
    await world.control("POST", "zendesk/settings", {"rate_limits": False})
    assert (await zendesk("GET", url)).status_code == 200


async def test_roles_and_a_missing_help_center(world, zendesk):
    await world.control("POST", "zendesk/settings", {"role": "agent"})
    assert (await zendesk("GET", f"{API}/incremental/tickets/cursor?start_time=0")).status_code == 403
    await world.control("POST", "zendesk/settings", {"help_center": False})
    assert (await zendesk("GET", f"{HC}/articles")).status_code == 404


# What the published description of the Support API names, by type; `?` may be null, `!` is always there.
TIMES = "created_at! updated_at!"
DESCRIBED = {
    "user": {
        "number": "id! custom_role_id? default_group_id locale_id organization_id? role_type?",
        "text": f"{TIMES} url! name! alias details email external_id? iana_time_zone last_login_at locale notes phone? "
        "role! signature ticket_restriction? time_zone",
        "truth": "active chat_only moderator only_private_comments report_csv restricted_agent shared shared_agent "
        "shared_phone_number? suspended two_factor_auth_enabled? verified",
        "list": "tags", "object": "photo? user_fields",
    },
    "ticket": {
        "number": "id! requester_id! submitter_id assignee_id brand_id custom_status_id forum_topic_id group_id "
        "organization_id problem_id ticket_form_id",
        "text": f"{TIMES} url! subject raw_subject description status! priority type due_at? external_id recipient",
        "truth": "allow_attachments allow_channelback from_messaging_channel has_incidents is_public",
        "list": "collaborator_ids custom_fields email_cc_ids follower_ids followup_ids sharing_agreement_ids tags",
        "object": "satisfaction_rating via",
    },
    "comment": {
        "number": "id! audit_id author_id!", "text": "created_at! body! html_body! plain_body! type!",
        "truth": "public!", "list": "attachments!", "object": "metadata! via!",
    },
    "organization": {
        "number": "id! group_id?", "text": f"{TIMES} url! name! details? external_id? notes?",
        "truth": "shared_comments shared_tickets", "list": "domain_names tags", "object": "organization_fields?",
    },
    "macro": {
        "number": "id! position", "text": f"{TIMES} url! title! description?", "truth": "active default",
        "list": "actions!", "object": "restriction?",
    },
    "user_field": {
        "number": "id! position", "truth": "active system",
        "text": f"{TIMES} url! key! type! title! raw_title description raw_description regexp_for_validation?",
    },
    "identity": {
        "number": "id! user_id! undeliverable_count", "text": f"{TIMES} url! type! value! deliverable_state",
        "truth": "primary verified",
    },
    "audit": {
        "number": "id! ticket_id! author_id!", "text": "created_at!", "list": "events!", "object": "metadata! via!",
    },
    "token": {
        "number": "id! user_id! client_id!", "text": "url! created_at! used_at! expires_at? token!", "list": "scopes!",
    },
}  # fmt: skip
TYPES = {"number": int, "text": str, "truth": bool, "list": list, "object": dict}


def misfits(kind, row):
    """What a record has that the description does not know, lacks, or holds in another type."""
    known, needed, fits = set(), set(), {}
    for word, names in DESCRIBED[kind].items():
        for name in names.split():
            own = name.rstrip("?!")
            known.add(own)
            needed |= {own} if name.endswith("!") else set()
            value = row.get(own)
            fits[own] = type(value) is TYPES[word] or (value is None and (name.endswith("?") or own not in row))
    return {"unknown": row.keys() - known, "lacking": needed - row.keys(), "types": {n for n in fits if not fits[n]}}


async def test_answers_are_what_the_published_description_says(world, zendesk):
    await world.control("POST", "zendesk/seed", {
        "users": [{"id": 501, "name": "Ada", "email": "a@b.co"}], "organizations": [{"id": 601, "name": "Acme"}],
        "tickets": [{"id": 701, "requester_id": 501, "subject": "S"}], "user_fields": [{"key": "plan"}],
        "comments": [{"ticket_id": 701, "author_id": 501, "body": "Seeded"}],
    })  # fmt: skip
    wanted = {"ticket": {"comment": {"body": "x", "public": False}, "requester_id": 501}}
    changed = {"user": {"email": "c@b.co", "details": "x", "skip_verify_email": True}}
    asked = [
        ("user", "GET", "/users/me", None), ("user", "GET", "/users/501", None), ("user", "PUT", "/users/501", changed),
        ("user", "POST", "/users", {"user": {"name": "Bob", "email": "b@b.co", "skip_verify_email": True}}),
        ("user", "GET", "/users/search?query=b.co", None), ("user", "GET", "/users/show_many?ids=501", None),
        ("identity", "GET", "/users/501/identities", None), ("ticket", "POST", "/tickets", wanted),
        ("ticket", "GET", "/tickets/701", None), ("ticket", "PUT", "/tickets/701", wanted),
        ("ticket", "GET", "/users/501/tickets/requested?page[size]=1", None), ("audit", "POST", "/tickets", wanted),
        ("audit", "PUT", "/tickets/701", {"ticket": {"status": "open"}}),
        ("comment", "GET", "/tickets/701/comments", None), ("organization", "GET", "/organizations/601", None),
        ("organization", "GET", "/organizations/search?name=acme", None),
        ("organization", "POST", "/organizations", {"organization": {"name": "New"}}),
        ("macro", "GET", "/macros?page[size]=10", None), ("user_field", "GET", "/user_fields?page[size]=10", None),
        ("token", "GET", "/oauth/tokens/current", None),
    ]  # fmt: skip
    await world.control("POST", "zendesk/settings", {"rate_limits": False})
    plural = {"identity": "identities"}
    for kind, method, path, body in asked:
        answer = (await zendesk(method, API + path, **({"json": body} if body else {}))).json()
        rows = answer.get(plural.get(kind, f"{kind}s"))
        rows = [answer[kind]] if rows is None else rows
        assert rows, path
        for row in rows:
            told = misfits(kind, row)
            assert not any(told.values()), (method, path, told)
    await world.control("POST", "clock", {"advance": 120})
    exported = (await zendesk("GET", f"{API}/incremental/tickets/cursor?start_time=0")).json()
    assert not any(any(misfits("ticket", row).values()) for row in exported["tickets"])
    assert {"after_cursor", "after_url", "before_cursor", "before_url", "end_of_stream"} < exported.keys()


async def test_what_live_accounts_answer_as_null_can_be_asked_for(world, zendesk):
    await world.control("POST", "zendesk/settings", {"unset_as_null": True})
    await world.control("POST", "zendesk/seed", {"tickets": [{"id": 701, "subject": "S"}]})
    ticket = (await zendesk("GET", f"{API}/tickets/701")).json()["ticket"]
    assert [ticket[name] for name in ("priority", "type", "assignee_id", "organization_id")] == [None] * 4
    await world.control("POST", "zendesk/settings", {"unset_as_null": False})
    assert "priority" not in (await zendesk("GET", f"{API}/tickets/701")).json()["ticket"]


async def test_a_cursor_leads_back_as_well(world, zendesk):
    await world.control("POST", "zendesk/seed", {"macros": [{"id": 1 + n, "title": f"M{n}"} for n in range(5)]})
    first = (await zendesk("GET", f"{API}/macros?page[size]=2")).json()
    assert (first["links"]["prev"], set(first["meta"])) == (None, {"has_more", "after_cursor", "before_cursor"})
    second = (await zendesk("GET", first["links"]["next"].removeprefix("https://acme.zendesk.com"))).json()
    back = (await zendesk("GET", second["links"]["prev"].removeprefix("https://acme.zendesk.com"))).json()
    assert [row["id"] for row in back["macros"]] == [row["id"] for row in first["macros"]]
    assert back["meta"]["has_more"] is False
    wrong = await zendesk("GET", f"{API}/macros?page[after]=nonsense!")
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (400, "InvalidPaginationParameter")
