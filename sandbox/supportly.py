"""Supportly's contact and profile API, in Chatwoot's shapes, under `/_supportly/api/v1`."""

import random
from typing import ClassVar

from sandbox.double import Abort, Double, Record, Reply, Request, Routes, iso
from sandbox.text import people

CONTACTS = "/api/v1/accounts/{account}/contacts"
PAGE = 15  # Chatwoot's page of contacts
WRITABLE = ("name", "email", "phone_number", "identifier", "blocked")


class Supportly(Double):
    """Accounts 1, 2 and 3. Quirk: a token in the header `api_access_token`, no OAuth."""

    name, title = "supportly", "Supportly"
    mount = "/_supportly"
    routes: ClassVar[Routes] = Routes()
    kinds: ClassVar[dict[str, str]] = {"contacts": "contact", "users": "user"}
    defaults: ClassVar[Record] = {"api_token": "sandbox-supportly-token", "accounts": [1, 2, 3]}

    def structure(self) -> None:
        for account in self.settings["accounts"]:
            for number, role in enumerate(("administrator", "agent")):
                short = "admin" if role == "administrator" else "agent"
                self.save("user", {
                    "id": 10 * account + number, "name": f"{short.title()} of account {account}",
                    "email": f"{short}.{account}@supportly.example", "token": f"sandbox-{short}-{account}",
                    "accounts": [{"id": account, "name": f"Account {account}", "role": role}],
                })  # fmt: skip

    def authorised(self, request: Request, account: str) -> int:
        token = request.headers.get("api_access_token", "")
        users = [user for user in self.records["user"].values() if user["token"] == token]
        own = {item["id"] for user in users for item in user["accounts"]}
        if token != self.settings["api_token"] and not users:
            raise Abort(Reply({"error": "Invalid Access Token"}, 401))
        if not account.isdigit() or int(account) not in self.settings["accounts"]:
            raise Abort(self.not_found(request))
        if users and int(account) not in own:
            raise Abort(Reply({"error": "You are not authorized to do this action"}, 401))
        return int(account)

    def not_found(self, request: Request) -> Reply:
        return Reply({"error": "Resource could not be found"}, 404)

    def contact(self, request: Request, account: str, key: str) -> Record:
        number, found = self.authorised(request, account), self.records["contact"].get(key)
        if found is None or found["account_id"] != number:
            raise Abort(self.not_found(request))
        return found

    def complete(self, kind: str, record: Record) -> Record:
        if kind == "user":
            return {"id": self.next_id(), "name": "", "email": "", "accounts": [], **record}
        now = int(self.clock.now())
        return {
            "id": self.next_id(), "account_id": 1, "name": "", "email": None, "phone_number": None, "identifier": None,
            "blocked": False, "thumbnail": "", "availability_status": "offline", "additional_attributes": {},
            "custom_attributes": {}, "contact_inboxes": [], "created_at": now, "last_activity_at": now, **record,
            "updated_at": record.get("updated_at", iso(self.clock.now())),
        }  # fmt: skip

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        return {**known, "updated_at": iso(self.clock.now()), **changes}

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        return [
            {
                "name": f"{person.first} {person.last}", "email": person.email, "phone_number": person.phone,
                "additional_attributes": {"company_name": person.company, "city": person.city},
            }
            for person in people(count, source)
        ]  # fmt: skip

    def shown(self, record: Record) -> Record:
        return {key: value for key, value in record.items() if key != "account_id"}

    def taken(self, account: int, wanted: Record, own: str | None = None) -> None:
        """Aborts when another contact of the account has the e-mail, phone number or identifier."""
        for name in ("email", "phone_number", "identifier"):
            value = str(wanted.get(name) or "").lower()
            for key, other in self.records["contact"].items() if value else ():
                if key != own and other["account_id"] == account and str(other[name] or "").lower() == value:
                    label = name.replace("_", " ").capitalize()
                    raise Abort(Reply({"message": f"{label} has already been taken", "attributes": [name]}, 422))

    @routes.on("GET", "/api/v1/profile", public=True)
    def profile(self, request: Request) -> Reply:
        token = request.headers.get("api_access_token", "")
        user = next((u for u in self.records["user"].values() if u["token"] == token), None)
        if user is None:
            return Reply({"error": "Invalid Access Token"}, 401)
        return Reply({key: value for key, value in user.items() if key != "token"})

    @routes.on("GET", CONTACTS, public=True)
    def list_contacts(self, request: Request, account: str) -> Reply:
        return self.page(request, self.authorised(request, account), "")

    @routes.on("GET", CONTACTS + "/search", public=True)
    def search_contacts(self, request: Request, account: str) -> Reply:
        number = self.authorised(request, account)
        if not request.query.get("q"):
            return Reply({"error": "Specify search string with parameter q"}, 422)
        return self.page(request, number, request.query["q"].lower())

    def page(self, request: Request, account: int, text: str) -> Reply:
        fields = ("name", "email", "phone_number", "identifier")
        found = [
            self.shown(item) for item in self.records["contact"].values()
            if item["account_id"] == account and any(text in str(item[name] or "").lower() for name in fields)
        ]  # fmt: skip
        page, size = max(1, request.integer("page", 1)), self.settings["page_size_max"] or PAGE
        return Reply(
            {"meta": {"count": len(found), "current_page": page}, "payload": found[(page - 1) * size :][:size]}
        )

    @routes.on("GET", CONTACTS + "/{contact}", public=True)
    def get_contact(self, request: Request, account: str, key: str) -> Reply:
        return Reply({"payload": self.shown(self.contact(request, account, key))})

    @routes.on("POST", CONTACTS, public=True)
    def create_contact(self, request: Request, account: str) -> Reply:
        number = self.authorised(request, account)
        self.taken(number, request.object)
        given = {
            k: request.object[k]
            for k in (*WRITABLE, "additional_attributes", "custom_attributes")
            if k in request.object
        }
        made = self.complete("contact", {**given, "account_id": number})
        self.save("contact", made)
        return Reply({"payload": {"contact": self.shown(made), "contact_inbox": {"inbox": None, "source_id": None}}})

    @routes.on("PUT", CONTACTS + "/{contact}", public=True)
    @routes.on("PATCH", CONTACTS + "/{contact}", public=True)
    def update_contact(self, request: Request, account: str, key: str) -> Reply:
        known = self.contact(request, account, key)
        self.taken(known["account_id"], request.object, own=key)
        changes = {name: request.object[name] for name in WRITABLE if name in request.object}
        for name in ("additional_attributes", "custom_attributes"):
            # One level deep, as in Chatwoot: a nested hash such as `external` is replaced whole.
            changes[name] = {**known[name], **(request.object.get(name) or {})}
        changed = self.changed("contact", known, changes)
        self.save("contact", changed)
        return Reply({"payload": self.shown(changed)})

    @routes.on("DELETE", CONTACTS + "/{contact}", public=True)
    def delete_contact(self, request: Request, account: str, key: str) -> Reply:
        self.contact(request, account, key)
        self.remove("contact", key)
        return Reply(None)
