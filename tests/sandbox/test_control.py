import httpx
import pytest

from sandbox.double import Double, Reply, Routes
from sandbox.recorder import fingerprint


class Acme(Double):
    """An eleventh provider."""

    name, title, hosts = "acme", "Acme", (r"api\.acme\.example",)
    routes = Routes()

    @routes.on("GET", "/things/{id}", public=True)
    def thing(self, request, key):
        return Reply({"id": key})


async def test_an_eleventh_provider_is_one_class():
    from sandbox.app import create_app

    app = create_app(extra=[Acme])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        assert (await http.get("https://api.acme.example/things/a%2Fb")).json() == {"id": "a/b"}
        assert (await http.get("http://sandbox/_host/api.acme.example/things/7")).json() == {"id": "7"}
        assert (await http.get("https://unknown.example/")).status_code == 421


async def test_health_and_mistakes_of_the_caller(world):
    assert (await world.control("GET", "health"))["status"] == "ok"
    for path, body in [
        ("hubspot/settings", {"nonsense": 1}),
        ("hubspot/settings", {"rotation": "sometimes"}),
        ("faults", {"cut": "sideways"}),
        ("faults", {"nonsense": 1}),
        ("faults", {"commit": True}),
        ("faults", {"path": "("}),
        ("faults", {"method": "("}),
        ("zendesk/seed", {"nonsense": [{}]}),
    ]:
        answer = await world.http.post(f"http://sandbox/_sandbox/{path}", json=body)
        assert answer.status_code == 422, path
    assert (await world.http.get("http://sandbox/_sandbox/nowhere")).status_code == 404


async def test_a_fault_fits_skips_and_runs_out(world):
    fault = {"provider": "zendesk", "path": "/api/v2/users/.*", "status": 503, "retry_after": 3, "skip": 1, "times": 2}
    fault["body"] = {"error": "down"}
    assert len((await world.control("POST", "faults", [fault]))["ids"]) == 1
    token = (await world.connect("zendesk"))["access_token"]
    statuses = [(await world.call("zendesk", "GET", "/api/v2/users/me", token)).status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 200]
    assert [(f["left"], f["hits"]) for f in await world.control("GET", "faults")] == [(0, 2)]
    await world.control("DELETE", "faults")
    await world.control("POST", "faults", {**fault, "skip": 0, "times": -1})
    answer = await world.call("zendesk", "GET", "/api/v2/users/me", token)
    assert (answer.headers["retry-after"], answer.json()) == ("3", {"error": "down"})


async def test_requests_are_recorded_without_secrets(world):
    tokens = await world.connect("hubspot")
    await world.call("hubspot", "GET", "/crm/objects/2026-09/contacts?limit=5", tokens["access_token"])
    seen = await world.control("GET", "requests?provider=hubspot")
    assert [entry["method"] for entry in seen] == ["GET", "POST", "GET"]
    assert seen[-1]["query"] == [["limit", "5"]]
    assert seen[-1]["status"] == 200
    assert seen[-1]["headers"]["authorization"].startswith("sha256:")
    assert seen[1]["body"]["grant_type"] == "authorization_code"
    assert seen[1]["body"]["code"].startswith("sha256:")
    assert "sandbox-hubspot-secret" not in str(seen)
    assert tokens["access_token"] not in str(seen)
    assert (await world.control("GET", f"requests/count?since={seen[1]['n']}"))["count"] == 1
    assert (await world.control("GET", "requests/count?path=oauth/2026-09/token"))["count"] == 1
    await world.control("DELETE", "requests")
    assert (await world.control("GET", "requests/count"))["count"] == 0


async def test_seeding_fills_in_updates_and_deletes(world):
    made = await world.control("POST", "zendesk/seed", [{"title": "A", "body": "<p>x</p>"}, {"email": "a@b.co"}])
    assert made["seeded"] == {"article": 1, "user": 1}
    number = made["ids"][0]
    [article] = await world.control("GET", "zendesk/records?kind=article")
    assert (article["locale"], article["user_segment_id"], article["draft"]) == ("en-us", None, False)
    await world.control("POST", "clock", {"advance": 60})
    await world.control("POST", "zendesk/seed", {"articles": [{"id": number, "body": "<p>y</p>"}]})
    [changed] = await world.control("GET", "zendesk/records?kind=article")
    assert changed["updated_at"] > article["updated_at"]
    assert (changed["title"], changed["translations"][0]["body"]) == ("A", "<p>y</p>")
    await world.control("POST", "zendesk/seed", [{"id": number, "_kind": "article", "_deleted": True}])
    assert await world.control("GET", "zendesk/records?kind=article") == []


async def test_generated_records_depend_on_the_seed_alone(world):
    async def titles(seed):
        await world.control("POST", "reset")
        await world.control("POST", "zendesk/seed", {"generate": {"articles": 1300, "seed": seed}})
        return [(a["title"], a["body"]) for a in await world.control("GET", "zendesk/records?kind=article")]

    first, again, other = await titles(7), await titles(7), await titles(8)
    assert first == again != other
    assert len({title for title, _ in first}) == 1300
    assert all("<h2>" in body and "<li>" in body and "{" not in body for _, body in first)


async def test_reset_forgets_everything(world):
    token = (await world.connect("hubspot"))["access_token"]
    await world.control("POST", "hubspot/settings", {"access_token_ttl": 5})
    await world.control("POST", "faults", {"status": 500, "times": -1})
    await world.control("POST", "reset")
    assert (await world.control("GET", "hubspot/settings"))["access_token_ttl"] == 1800
    assert (await world.call("hubspot", "GET", "/account-info/2026-09/details", token)).status_code == 401
    assert await world.control("GET", "hubspot/records?kind=contact") == []


async def test_the_demo_world_is_the_same_people_everywhere(world):
    await world.control("POST", "demo")
    seeded = await world.control("POST", "demo")  # a second time changes nothing but dates
    assert len(await world.control("GET", "schedly/records?kind=booking")) == 3
    assert len(await world.control("GET", "hubspot/records?kind=product")) == 4
    assert seeded["supportly"]["contact"] >= 5
    assert seeded["zendesk"]["article"] == 25
    contacts = await world.control("GET", "supportly/records?kind=contact")
    known = {c["properties"]["email"] for c in await world.control("GET", "hubspot/records?kind=contact")}
    assert len({contact["email"] for contact in contacts} & known) >= 3
    for article in await world.control("GET", "zendesk/records?kind=article"):
        assert {item["locale"] for item in article["translations"]} == {"en-us", "de"}
        assert all(len(item["body"]) > 150 for item in article["translations"])


@pytest.mark.parametrize("cut", ["before", "body", "after_commit"])
def test_a_connection_is_really_cut(served, cut):
    headers = {"api_access_token": "sandbox-supportly-token"}
    url = f"{served}/_supportly/api/v1/accounts/1/contacts"
    with httpx.Client(headers=headers) as http:
        http.post(f"{served}/_sandbox/faults", json={"cut": cut, "provider": "supportly"})
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            http.post(url, json={"name": "Ada"})
        done = http.get(f"{served}/_sandbox/supportly/records?kind=contact").json()
        assert len(done) == (0 if cut == "before" else 1)
        assert http.post(url, json={"name": "Ben"}).status_code == 200


CONTACTS = "/_supportly/api/v1/accounts/1/contacts"
TOKEN = {"api_access_token": "sandbox-supportly-token"}


async def test_a_fault_is_about_what_a_request_says(world):
    await world.control("POST", "faults", {"about": "ada@example.com", "status": 503, "times": -1})
    url = f"http://sandbox{CONTACTS}"
    said = {
        "ada": await world.http.post(url, json={"email": "ada@example.com"}, headers=TOKEN),
        "ben": await world.http.post(url, json={"email": "ben@example.com"}, headers=TOKEN),
        "ada, asked for": await world.http.get(f"{url}/search?q=ada%40example.com", headers=TOKEN),
    }
    assert {name: answer.status_code == 503 for name, answer in said.items()} == {
        "ada": True, "ben": False, "ada, asked for": True,
    }  # fmt: skip
    assert (await world.control("GET", "requests/count?about=ada%40example.com"))["count"] == 2


async def test_one_fault_of_several_is_taken_back(world):
    first, second = (await world.control("POST", "faults", [{"method": "post|put", "status": 503}, {"status": 500}]))[
        "ids"
    ]
    await world.control("DELETE", f"faults?id={second}")
    assert [fault["id"] for fault in await world.control("GET", "faults")] == [first]
    url = f"http://sandbox{CONTACTS}"
    assert (await world.http.get(f"{url}/search?q=ada", headers=TOKEN)).status_code == 200
    assert (await world.http.post(url, json={"name": "Ada"}, headers=TOKEN)).status_code == 503


async def test_an_answer_is_replaced_after_the_work_was_done(world):
    page = {"status": 200, "body": "<html>", "content_type": "text/html"}
    for commit, there in ((False, 0), (True, 1)):
        await world.control("POST", "faults", {**page, "commit": commit})
        answer = await world.http.post(f"http://sandbox{CONTACTS}", json={"name": "Ada"}, headers=TOKEN)
        assert (answer.text, answer.headers["content-type"]) == ("<html>", "text/html")
        assert len(await world.control("GET", "supportly/records?kind=contact")) == there


async def test_a_replayed_address_stays_on_its_first_page(world):
    await world.control("POST", "zendesk/settings", {"page_size_max": 2})
    await world.control("POST", "zendesk/seed", {"articles": [{"title": f"A{n}", "body": "x"} for n in range(5)]})
    token = (await world.connect("zendesk"))["access_token"]
    path = "/api/v2/help_center/articles?page[size]=2"

    async def pages():
        first = (await world.call("zendesk", "GET", path, token)).json()
        following = first["links"]["next"].removeprefix("https://acme.zendesk.com")
        return first, (await world.call("zendesk", "GET", following, token)).json()

    await world.control("POST", "faults", {"path": ".*/articles", "replay": True, "times": -1})
    first, second = await pages()
    assert second == first
    await world.control("DELETE", "faults")
    first, second = await pages()
    assert second != first


def test_a_large_answer_comes_in_pieces_with_or_without_its_length(served):
    for headers in ({}, {"content-length": "3000000"}):
        fault = {"size": 3_000_000, "headers": headers}
        httpx.post(f"{served}/_sandbox/faults", json=fault).raise_for_status()
        with httpx.stream("GET", f"{served}/_supportly/api/v1/profile") as answer:
            assert answer.headers.get("content-length") == headers.get("content-length")
            assert sum(map(len, answer.iter_raw())) == 3_000_000


def test_a_slow_answer_comes_whole_and_late(served):
    httpx.post(f"{served}/_sandbox/faults", json={"status": 200, "body": {"a": "x" * 500}, "drip": 0.01})
    with httpx.stream("GET", f"{served}/_supportly/api/v1/profile") as answer:
        pieces = list(answer.iter_raw())
    assert b"".join(pieces) == b'{"a":"' + b"x" * 500 + b'"}'
    assert len(pieces) > 10


async def test_a_cut_without_a_socket_looks_the_same(world):
    await world.control("POST", "faults", {"cut": "before"})
    with pytest.raises(httpx.RemoteProtocolError):
        await world.http.get("http://sandbox/_supportly/api/v1/profile")


async def test_grants_show_which_tokens_work_and_none_of_them(world):
    first = await world.connect("hubspot")
    await world.connect("hubspot")
    listed = await world.control("GET", "hubspot/grants")
    assert [len(grant["access"]) for grant in listed] == [1, 1]
    assert fingerprint(first["access_token"]) in listed[0]["access"]
    assert fingerprint(first["refresh_token"]) in listed[0]["refresh"]
    assert first["access_token"] not in str(listed)
    await world.control("POST", "hubspot/expire")
    assert [(g["access"], len(g["refresh"])) for g in await world.control("GET", "hubspot/grants")] == [([], 1)] * 2
    await world.control("POST", "hubspot/revoke")
    assert [(g["revoked"], g["refresh"]) for g in await world.control("GET", "hubspot/grants")] == [(True, [])] * 2
