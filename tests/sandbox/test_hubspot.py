import pytest

CONTACTS = "/crm/objects/2026-09/contacts"


@pytest.fixture
async def hubspot(world):
    token = (await world.connect("hubspot"))["access_token"]

    async def call(method, path, **more):
        return await world.call("hubspot", method, path, token, **more)

    return call


async def create(hubspot, **properties):
    return await hubspot("POST", CONTACTS, json={"properties": properties})


async def test_a_contact_is_found_by_email_right_away_but_searched_only_later(world, hubspot):
    await world.control("POST", "hubspot/settings", {"search_lag_seconds": 30})
    made = (await create(hubspot, email="Ada@B.co", firstname="Ada")).json()
    by_email = await hubspot("GET", f"{CONTACTS}/ada@b.co", params={"idProperty": "email", "properties": "phone"})
    assert (by_email.json()["id"], by_email.json()["properties"].get("phone")) == (made["id"], None)
    query = {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "EQ", "value": "ada@b.co"}]}]}
    assert (await hubspot("POST", f"{CONTACTS}/search", json=query)).json()["total"] == 0
    await world.control("POST", "clock", {"advance": 31})
    assert (await hubspot("POST", f"{CONTACTS}/search", json=query)).json()["total"] == 1


async def test_duplicates_conflict_also_with_secondary_addresses(world, hubspot):
    made = (await create(hubspot, email="a@b.co")).json()["id"]
    again = await create(hubspot, email="A@b.co")
    assert (again.status_code, again.json()["category"]) == (409, "CONFLICT")
    assert again.json()["message"] == f"Contact already exists. Existing ID: {made}"
    await world.control("POST", "hubspot/seed", [{"id": made, "properties": {"hs_additional_emails": "old@b.co"}}])
    assert f"Existing ID: {made}" in (await create(hubspot, email="old@b.co")).json()["message"]


async def test_writes_are_checked(hubspot):
    unknown = await create(hubspot, email="a@b.co", nonsense="1")
    assert (unknown.status_code, unknown.json()["category"]) == (400, "VALIDATION_ERROR")
    assert (await create(hubspot, email="not an address")).status_code == 400
    assert (await create(hubspot, phone="+1")).status_code == 400
    made = (await create(hubspot, email="a@b.co", city="Oslo")).json()["id"]
    changed = await hubspot("PATCH", f"{CONTACTS}/{made}", json={"properties": {"city": ""}})
    assert changed.json()["properties"]["city"] == ""
    missing = await hubspot("GET", f"{CONTACTS}/999999")
    assert (missing.status_code, missing.json()["category"]) == (404, "OBJECT_NOT_FOUND")


async def test_what_cannot_be_read_is_400_and_not_a_crash(hubspot):
    assert (await hubspot("POST", f"{CONTACTS}/search", json={"limit": "many"})).status_code == 400
    assert (await hubspot("POST", f"{CONTACTS}/search", json={"filterGroups": [{"filters": [{}]}]})).status_code == 400


async def test_search_by_phone_token_and_lower_case_in(hubspot):
    await create(hubspot, email="a@b.co", phone="+14155550100", firstname="Ada")

    async def total(**wanted):
        return (await hubspot("POST", f"{CONTACTS}/search", json={"filterGroups": [{"filters": [wanted]}]})).json()[
            "total"
        ]

    name = "hs_searchable_calculated_phone_number"
    assert await total(propertyName=name, operator="CONTAINS_TOKEN", value="*4155550100") == 1
    assert await total(propertyName="firstname", operator="IN", values=["ada"]) == 1
    assert await total(propertyName="firstname", operator="IN", values=["Ada"]) == 0
    assert await total(propertyName="lastmodifieddate", operator="GTE", value="2020-01-01T00:00:00Z") == 1


async def test_search_stops_at_ten_thousand_and_five_a_second(hubspot):
    deep = await hubspot("POST", f"{CONTACTS}/search", json={"limit": 100, "after": "9950"})
    assert deep.status_code == 400
    answers = [await hubspot("POST", f"{CONTACTS}/search", json={}) for _ in range(6)]
    assert [a.status_code for a in answers][-1] == 429
    assert answers[-1].json()["policyName"] == "SECONDLY"
    assert not [name for name in answers[0].headers if "ratelimit" in name]


async def test_the_account_limit_answers_429_with_its_policy(world, hubspot):
    await world.control("POST", "hubspot/settings", {"requests_per_ten_seconds": 2})
    answers = [await hubspot("GET", CONTACTS) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert answers[1].headers["x-hubspot-ratelimit-remaining"] == "0"
    assert answers[2].json()["policyName"] == "TEN_SECONDLY_ROLLING"
    await world.control("POST", "clock", {"advance": 11})
    assert (await hubspot("GET", CONTACTS)).status_code == 200


async def test_notes_are_linked_and_read_back(hubspot):
    made = (await create(hubspot, email="a@b.co")).json()["id"]

    def note(number, body="hello"):
        to = [{"to": {"id": made}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}]}]
        return {"properties": {"hs_timestamp": "2026-01-01T00:00:00Z", "hs_note_body": body}, "associations": to}

    assert (await hubspot("POST", "/crm/objects/2026-09/notes", json=note(204))).status_code == 400
    first = await hubspot("POST", "/crm/objects/2026-09/notes", json=note(202))
    assert first.status_code == 201
    contact = (await hubspot("GET", f"{CONTACTS}/{made}?associations=notes,calls")).json()
    assert [row["id"] for row in contact["associations"]["notes"]["results"]] == [first.json()["id"]]
    url = "/crm/associations/2026-09/contacts/notes/batch/read"
    rows = (await hubspot("POST", url, json={"inputs": [{"id": made}]})).json()["results"]
    assert rows[0]["to"][0]["associationTypes"][0]["typeId"] in (201, 202)
    wanted = {"inputs": [{"id": first.json()["id"]}], "properties": ["hs_note_body"], "propertiesWithHistory": []}
    read = await hubspot("POST", "/crm/objects/2026-09/notes/batch/read", json=wanted)
    assert read.json()["results"][0]["properties"]["hs_note_body"] == "hello"


async def test_lists_page_to_the_end_without_repeats(world, hubspot):
    await world.control("POST", "hubspot/seed", {"generate": {"contacts": 250, "blog_posts": 45}})
    for path, count in ((f"{CONTACTS}?limit=100", 250), ("/cms/blogs/2026-09/posts?limit=20", 45)):
        ids, after = [], None
        while True:
            page = (await hubspot("GET", path + (f"&after={after}" if after else ""))).json()
            ids += [row["id"] for row in page["results"]]
            after = page.get("paging", {}).get("next", {}).get("after")
            if not after:
                break
        assert len(ids) == len(set(ids)) == count


async def test_archived_products_show_only_in_the_recycle_bin(world, hubspot):
    seeded = await world.control("POST", "hubspot/seed", {"products": [{"properties": {"name": "Plan"}}]})
    await world.control("POST", "hubspot/seed", {"products": [{"id": seeded["ids"][0], "archived": True}]})
    products = "/crm/objects/2026-09/products"
    assert (await hubspot("GET", products)).json()["results"] == []
    assert len((await hubspot("GET", f"{products}?archived=true")).json()["results"]) == 1
    assert (await hubspot("POST", f"{products}/search", json={})).json()["total"] == 0


async def test_posts_filter_by_change_and_the_knowledge_base_can_be_missing(world, hubspot):
    await world.control("POST", "hubspot/seed", {"blog_posts": [{"name": "Old", "updatedAt": "2026-01-01T00:00:00Z"}]})
    await world.control("POST", "hubspot/seed", {"blog_posts": [{"name": "New", "updatedAt": "2026-03-01T00:00:00Z"}]})
    found = (await hubspot("GET", "/cms/blogs/2026-09/posts?updatedAfter=2026-02-01T00:00:00Z")).json()
    assert [post["name"] for post in found["results"]] == ["New"]
    articles = "/cms/knowledge-base/2027-03-beta/articles"
    assert (await hubspot("GET", articles)).status_code == 200
    await world.control("POST", "hubspot/settings", {"knowledge_base": 404})
    assert (await hubspot("GET", articles)).status_code == 404


async def test_deals_of_a_contact_with_stages(world, hubspot):
    contact = (await create(hubspot, email="a@b.co")).json()["id"]
    deal = {"properties": {"dealname": "Big", "amount": 10}, "associations": {"contacts": [contact]}}
    await world.control("POST", "hubspot/seed", {"deals": [deal]})
    linked = (await hubspot("GET", f"{CONTACTS}/{contact}?associations=deals")).json()["associations"]["deals"]
    query = {
        "filterGroups": [{"filters": [{"propertyName": "associations.contact", "operator": "EQ", "value": contact}]}]
    }
    found = (await hubspot("POST", "/crm/objects/2026-09/deals/search", json=query)).json()["results"]
    assert [d["id"] for d in found] == [row["id"] for row in linked["results"]]
    assert found[0]["properties"]["amount"] == "10"
    assert (await hubspot("GET", "/crm/pipelines/2026-09/deals")).json()["results"][0]["stages"]


async def test_answers_hold_what_the_contracts_require(world, hubspot):
    await world.control("POST", "hubspot/settings", {"enforce_scopes": False, "page_size_max": 1})
    made = (await create(hubspot, email="a@b.co")).json()
    assert set(made) == {"id", "properties", "createdAt", "updatedAt", "archived"}
    assert all(isinstance(value, str) for value in made["properties"].values())
    await create(hubspot, email="b@b.co")
    for listed in (
        await hubspot("GET", CONTACTS),
        await hubspot("POST", f"{CONTACTS}/search", json={"filterGroups": []}),
    ):
        following = listed.json()["paging"]["next"]
        assert following["link"].endswith(f"after={following['after']}")
    read = {"properties": [], "propertiesWithHistory": [], "inputs": [{"id": made["id"]}, {"id": "404"}]}
    batch = (await hubspot("POST", f"{CONTACTS}/batch/read", json=read)).json()
    assert {"status", "results", "startedAt", "completedAt"} <= set(batch)
    assert {"category", "context", "errors", "links", "message", "status"} <= set(batch["errors"][0])
    (pipeline,) = (await hubspot("GET", "/crm/pipelines/2026-09/deals")).json()["results"]
    required = {"archived", "createdAt", "displayOrder", "id", "label", "updatedAt"}
    assert required | {"stages"} <= set(pipeline)
    assert required | {"metadata", "writePermissions"} <= set(pipeline["stages"][0])
    (owner, *_) = (await hubspot("GET", "/crm/owners/2026-09")).json()["results"]
    assert {"archived", "createdAt", "id", "type", "updatedAt"} <= set(owner)
    await world.control("POST", "hubspot/seed", {"properties": [{"name": "plan", "options": [{"value": "pro"}]}]})
    properties = (await hubspot("GET", "/crm/properties/2026-09/contacts")).json()["results"]
    for item in properties:
        assert {"description", "fieldType", "groupName", "label", "name", "options", "type"} <= set(item)
        assert all({"hidden", "label", "value"} <= set(option) for option in item["options"])


async def test_posts_and_articles_hold_what_the_contracts_require(world, hubspot):
    await world.control("POST", "hubspot/settings", {"enforce_scopes": False})
    await world.control("POST", "hubspot/seed", {"blog_posts": [{"name": "P"}], "articles": [{"title": "A"}]})
    posts = (await hubspot("GET", "/cms/blogs/2026-09/posts")).json()
    (post,) = posts["results"]
    assert posts["total"] == 1
    assert {"abStatus", "created", "currentState", "currentlyPublished", "language", "postBody", "publishDate", "state",
            "tagIds", "updated", "url", "widgets"} <= set(post)  # fmt: skip
    assert not set(post) & {"archived", "createdAt", "updatedAt"}
    assert None not in post.values()
    articles = (await hubspot("GET", "/cms/knowledge-base/2027-03-beta/articles")).json()
    assert set(articles) == {"results"}
    (article,) = articles["results"]
    assert {"accessGroupIds", "accessType", "archivedInDashboard", "createdAt", "id", "knowledgeBaseId", "language",
            "path", "state", "tagIds", "title", "updatedAt", "url"} <= set(article)  # fmt: skip


async def test_every_error_names_its_category_and_its_correlation(world, hubspot):
    await world.control("POST", "hubspot/settings", {"searches_per_second": 1})
    answers = [await hubspot("POST", f"{CONTACTS}/search", json={}) for _ in range(2)]
    answers += [await hubspot("GET", f"{CONTACTS}/404"), await create(hubspot, email="nobody")]
    refused = [answer for answer in answers if answer.status_code >= 400]
    assert [answer.status_code for answer in refused] == [429, 404, 400]
    for answer in refused:
        assert {"category", "correlationId", "message"} <= set(answer.json())
