BASE = "http://sandbox/_supportly/api/v1"
KEY = {"api_access_token": "sandbox-supportly-token"}


async def test_a_contact_is_created_read_merged_and_found(world):
    body = {"name": "Ada", "email": "ada@b.co", "additional_attributes": {"city": "Oslo"}}
    made = (await world.http.post(f"{BASE}/accounts/1/contacts", json=body, headers=KEY)).json()["payload"]["contact"]
    url = f"{BASE}/accounts/1/contacts/{made['id']}"
    change = {"additional_attributes": {"external": {"hubspot_id": "7"}}}
    await world.http.put(url, json=change, headers=KEY)
    read = (await world.http.get(url, headers=KEY)).json()["payload"]
    assert read["additional_attributes"] == {"city": "Oslo", "external": {"hubspot_id": "7"}}
    found = (await world.http.get(f"{BASE}/accounts/1/contacts/search?q=ADA", headers=KEY)).json()
    assert [item["id"] for item in found["payload"]] == [made["id"]]
    assert (await world.http.get(f"{BASE}/accounts/2/contacts/{made['id']}", headers=KEY)).status_code == 404
    assert (await world.http.post(f"{BASE}/accounts/1/contacts", json=body, headers=KEY)).status_code == 422


async def test_unknown_is_404_and_a_bad_token_401(world):
    missing = await world.http.get(f"{BASE}/accounts/1/contacts/999999", headers=KEY)
    assert (missing.status_code, missing.json()) == (404, {"error": "Resource could not be found"})
    assert (await world.http.get(f"{BASE}/accounts/9/contacts", headers=KEY)).status_code == 404
    assert (await world.http.get(f"{BASE}/accounts/1/contacts", headers={"api_access_token": "x"})).status_code == 401


async def test_profiles_tell_accounts_and_roles(world):
    for token, role in (("sandbox-admin-2", "administrator"), ("sandbox-agent-2", "agent")):
        profile = (await world.http.get(f"{BASE}/profile", headers={"api_access_token": token})).json()
        assert [(account["id"], account["role"]) for account in profile["accounts"]] == [(2, role)]
        assert "token" not in profile
    assert (await world.http.get(f"{BASE}/profile", headers={"api_access_token": "x"})).status_code == 401
